"""Exit 0 if the service in this container is well: `healthcheck.py PORT` asks /healthz, `healthcheck.py FILE` wants it fresh."""

import os
import socket
import sys
import time

target = sys.argv[1]
if target.isdigit():
    with socket.create_connection(("127.0.0.1", int(target)), timeout=2) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        status = connection.makefile().read().split("\n")[0]
    sys.exit(0 if " 200 " in status else f"/healthz says {status}")
age = time.time() - os.stat(target).st_mtime
sys.exit(0 if age < 10 else f"the last heartbeat was {age:.0f} s ago")
