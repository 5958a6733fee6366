"""The shop's API: products from a file, orders in the store."""

import json
import pathlib
import time

from serve import json_reply, serve
from store import Store, with_store

PRODUCTS = json.loads(pathlib.Path(__file__).with_name("products.json").read_text())
BY_ID = {product["id"]: product for product in PRODUCTS}


def products(_):
    return json_reply(PRODUCTS)


def read(store, number):
    order = store.hash(f"order:{number}")
    return {"id": int(number), **order} if order else None


def orders(_):
    found = with_store(lambda store: [read(store, number) for number in store("LRANGE", "orders:recent", 0, 7)])
    return json_reply([order for order in found if order])


def order(_, number):
    found = with_store(lambda store: read(store, number))
    return json_reply(found) if found else json_reply({"error": f"there is no order {number}"}, 404)


def place(request):
    try:
        product = BY_ID[json.loads(request.body)["product"]]
    except (ValueError, KeyError, TypeError):
        return json_reply({"error": "say which product: one of " + ", ".join(BY_ID)}, 400)
    number = with_store(lambda store: store("INCR", "orders:last"))
    details = ("product", product["id"], "name", product["name"], "cents", product["cents"], "status", "queued")

    def write(store):
        if not store("EXISTS", f"order:{number}"):
            store.all(
                ("HSET", f"order:{number}", *details, "placed", f"{time.time():.3f}"),
                ("LPUSH", "orders:recent", number),
                ("LTRIM", "orders:recent", 0, 99),
                ("LPUSH", "orders:queue", number),
            )
        return read(store, number)

    return json_reply(with_store(write), 201)


def healthy():
    with Store(patience=0, timeout=1) as store:
        return store("PING") == "PONG"


if __name__ == "__main__":
    serve(
        (
            ("GET", "/api/products", products),
            ("GET", "/api/orders", orders),
            ("GET", r"/api/orders/(\d+)", order),
            ("POST", "/api/orders", place),
        ),
        healthy=healthy,
    )
