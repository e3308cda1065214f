"""Make an app of a table of routes. Whatever goes wrong in a route is answered with one line."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from wavewright.errors import WavewrightError, printable

Route = tuple[str, str, Callable[..., Any], int]
"""Method (WS is a WebSocket), path, what answers, and the status of success."""


def make_routes(table: Iterable[Route], lifespan: Any = None) -> FastAPI:
    """Return an app of these routes and no others.

    Args:
        table: the routes.
        lifespan: a context manager of the app, which holds while the server runs.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    for method, path, answer, status in table:
        if method == "WS":
            app.router.add_websocket_route(path, answer)
        else:
            app.add_api_route(path, answer, methods=[method], status_code=status, response_model=None)
    for error in (WavewrightError, OSError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(error, _refused)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """Return an error as one line, with its status."""
    if isinstance(error, HTTPException):
        status, line = error.status_code, f"{request.method} {request.url.path[:80]}: {error.detail}"
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "body"
        status, line = 422, f"{field}: {first['msg'].removeprefix('Value error, ')}"
    elif isinstance(error, OSError):
        status, line = 500, f"disk: {error.strerror or error}; check the folder of work"
    elif isinstance(error, WavewrightError):
        status, line = getattr(error, "status", 422), str(error)
    else:
        status, line = 500, f"server: {type(error).__name__}; its terminal tells more"
    return JSONResponse({"error": printable(line)}, status)
