"""Short names, as far as they are clear."""

import pytest

from tasks.steps.naming import short_names

NAMES: list[tuple[list[str], list[str], dict[str, list[str]]]] = [
    ([], ["shop"], {}),
    (["shop.web", "shop.api"], ["shop"], {"web": ["shop.web"], "api": ["shop.api"]}),
    (["shop.web", "blog.web"], ["shop", "blog"], {"web": ["shop.web", "blog.web"]}),
    (["shop.blog", "blog.web"], ["shop", "blog"], {"web": ["blog.web"]}),
    (["shop.shop"], ["shop"], {}),
    (["shop.a.b"], ["shop"], {"a.b": ["shop.a.b"]}),
    (["shop.blog.web", "blog.web"], ["shop", "blog"], {"web": ["blog.web"]}),
]


@pytest.mark.parametrize(("names", "stacks", "short"), NAMES)
def test_a_short_name_means_a_service_unless_it_is_a_stack_or_a_full_name(
    names: list[str], stacks: list[str], short: dict[str, list[str]]
) -> None:
    assert short_names(names, stacks) == short
    assert short_names(iter(names), iter(stacks)) == short
