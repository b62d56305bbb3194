#!/usr/bin/env python3
"""A small asyncio server whose pages are kept in forebay.

    examples/python/web.py [PORT]           # 8000; then: curl http://127.0.0.1:8000/bash

A page that is in this host's memory costs the event loop a microsecond; whatever has to wait, for
forebay or for the work itself, does not hold the loop up.
"""

import asyncio
import json
import sys

import forebay


@forebay.cached(ttl=60)
async def page(name):
    # Asking may take a while, so it is done on a thread.
    loop = asyncio.get_running_loop()
    package = await loop.run_in_executor(None, lambda: forebay.client().fetch("package", name=name))
    return None if package is None else {"name": name, "version": package["version"]}


async def serve(reader, writer):
    request = await reader.readline()
    while (await reader.readline()).strip():
        pass
    try:
        found = await page(request.split()[1].decode().lstrip("/"))
        status, body = ("404 Not Found", "{}") if found is None else ("200 OK", json.dumps(found))
    except forebay.Error as error:
        status, body = "503 Service Unavailable", json.dumps({"error": str(error)})
    writer.write(f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}\n".encode())
    await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
