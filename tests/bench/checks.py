"""checks.py: the requests of each kind, and what must be answered, byte for byte where it can be."""

import base64
import hashlib
import hmac
import json
from urllib.parse import quote

from bench import seed
from bench.loads import Request
from bench.peers import SECRET
from bench.processes import Trouble
from harness.wire import Closed, Wire

PATIENCE_S = 20
JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)

HELLO = Request("GET", "/")
USER = Request("GET", "/users/1")
PAGE = Request("GET", "/users/?offset=0&limit=100")
LOGIN = Request("POST", "/auth/token", FORM,
                f"username={quote(seed.email_of(1))}&password={quote(seed.PASSWORD)}")
REFRESH = Request("POST", "/auth/refresh_token")    # verifies, reads and signs
ME = Request("GET", "/users/me")                    # what peers do instead: verifies and reads


ORDER_PACKAGES = 10
ORDER = Request("GET", "/orders/efb77dcf-d83c-4935-81ac-7be5f37e6cdc/items")


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


SIGN_UP = Request("POST", "/users/", JSON, compact(
    {"username": "first", "email": "first@example.com", "password": seed.PASSWORD}).decode(), signs_up=True)


def user(user_id, name=None):
    name = name or seed.name_of(user_id)
    return {"id": user_id, "username": name, "email": f"{name}@example.com"}


def order(port):
    """Of the upstream in apps/orders.c."""
    item = {"sku": "229010200", "description": "x", "image_url": "http://img", "reference": "r", "quantity": 1}
    expect(port, ORDER, compact([item] * ORDER_PACKAGES))
    return ORDER


def ask(port, request):
    with Wire(("127.0.0.1", port)) as wire:
        wire.socket.settimeout(PATIENCE_S)
        try:
            return wire.ask(request.method, request.path, request.headers,
                            request.body.encode() if request.body else None).answer()
        except (OSError, Closed, IndexError, ValueError) as e:
            raise Trouble(f"{request.method} {request.path}: no answer: {e}") from None


def expect(port, request, body, status=200):
    """*body*: the bytes there must be, or a function that says what is wrong with those there are."""
    answer = ask(port, request)
    kind = next((v for n, v in answer.headers if n.lower() == "content-type"), "")
    if answer.status != status or not kind.startswith("application/json"):
        wrong = f"{answer.status} {kind}, expected {status}"
    elif callable(body):
        wrong = body(answer.body)
    else:
        wrong = "" if answer.body == body else f"expected {body[:200]!r}"
    if wrong:
        raise Trouble(f"{request.method} {request.path}: {wrong}; answered {answer.body[:200]!r}")
    return answer.body


def decode64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def token_fault(body):
    """What is wrong with {"access_token": …}, or ""."""
    try:
        answer = json.loads(body)
        text, _, mac = answer["access_token"].rpartition(".")
        claims = json.loads(decode64(text.split(".")[1]))
        good = hmac.compare_digest(decode64(mac), hmac.digest(SECRET.encode(), text.encode(), hashlib.sha256))
    except (ValueError, KeyError, IndexError, TypeError) as e:
        return f"no token: {e!r}"
    if not good:
        return "the signature is wrong"
    if claims.get("sub") != seed.email_of(1) or "exp" not in claims or answer.get("token_type") != "bearer":
        return "the claims are wrong"
    return ""


def hello(port):
    expect(port, HELLO, '{"message":"Olá Mundo!"}'.encode())
    return HELLO


def one_user(port):
    expect(port, USER, compact(user(1)))
    return USER


def page(port):
    expect(port, PAGE, compact({"users": [user(i) for i in range(1, 101)]}))
    return PAGE


def login(port):
    expect(port, LOGIN, token_fault)
    return LOGIN


def bearer(port, ours):
    token = json.loads(expect(port, LOGIN, token_fault))["access_token"]
    request = (REFRESH if ours else ME).with_header("Authorization", f"Bearer {token}")
    expect(port, request, token_fault if ours else compact(user(1)))
    forged = token[:-9] + ("B" if token[-9] == "A" else "A") + token[-8:]
    expect(port, (REFRESH if ours else ME).with_header("Authorization", f"Bearer {forged}"),
           b'{"detail":"Could not validate credentials"}', 401)
    return request


def sign_up(port):
    expect(port, SIGN_UP, compact(user(seed.USERS + 1, "first")), 201)
    return SIGN_UP
