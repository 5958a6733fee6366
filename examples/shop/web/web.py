"""The shop's front: one page, rendered here from what the API says."""

import contextlib
import http.client
import json
import os
import pathlib
import string
import time
from html import escape

from serve import VERSION, Reply, serve

API = os.environ.get("API_HOST", "api")
PATIENCE = 8  # seconds to wait for an API that is being replaced
HERE = pathlib.Path(__file__).parent
PAGE = string.Template((HERE / "page.html").read_text())
STYLE = (HERE / "shop.css").read_text()
ART = {file.stem: file.read_text() for file in (HERE / "art").glob("*.svg")}
STEPS = {"queued": "in the queue", "packed": "being packed", "shipped": "shipped"}


def ask(method, path, value=None):
    """Ask the API; a refused connection is tried again, for nothing was sent yet."""
    deadline = time.monotonic() + PATIENCE
    body = None if value is None else json.dumps(value)
    while True:
        connection = http.client.HTTPConnection(API, 8000, timeout=10)
        try:
            connection.connect()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    with contextlib.closing(connection) as api:
        api.request(method, path, body)
        return json.loads(api.getresponse().read())


def price(cents):
    return f"€ {int(cents) / 100:.2f}"


def card(product):
    return f"""
<article class="card" style="--hue: {product["hue"]}">
  <div class="art">{ART.get(product["id"], "")}</div>
  <h3>{escape(product["name"])}</h3>
  <p>{escape(product["blurb"])}</p>
  <form method="post" action="/order">
    <strong>{price(product["cents"])}</strong>
    <button name="product" value="{product["id"]}" aria-label="Order one {escape(product["name"])}">Order</button>
  </form>
</article>"""


def row(order):
    status = order["status"]
    return f"""
<li class="{status}"><span class="number">{order["id"]}</span><span class="what">{escape(order["name"])}</span>
<span class="step">{STEPS.get(status, status)}</span></li>"""


def order_list(orders):
    return "".join(map(row, orders)) or '<li class="none">No orders yet. The kettle is on.</li>'


def stamp(version):
    return f'{version["service"]} <code title="built {escape(version["built"])}">{escape(version["commit"][:7])}</code>'


def home(request):
    thanks = request.query.get("thanks", "")
    return Reply(
        PAGE.substitute(
            style=STYLE,
            thanks=f'<p class="thanks" role="status">Thank you! Order {int(thanks)} is on its way.</p>'
            if thanks.isdigit()
            else "",
            products="".join(map(card, ask("GET", "/api/products"))),
            orders=order_list(ask("GET", "/api/orders")),
            versions=" · ".join(map(stamp, (VERSION, ask("GET", "/api/devops/version")))),
        )
    )


def orders(_):
    return Reply(order_list(ask("GET", "/api/orders")))


def place(request):
    order = ask("POST", "/api/orders", {"product": request.form().get("product")})
    where = f"/?thanks={order['id']}" if "id" in order else "/"
    return Reply(status=303, headers={"Location": where})


if __name__ == "__main__":
    serve((("GET", "/", home), ("GET", "/orders", orders), ("POST", "/order", place)))
