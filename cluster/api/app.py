"""The gateway's HTTP API over whatever implements `SiteService`.

No pages that describe the API are served: they would load scripts from elsewhere and answer without a token.
"""

from fastapi import FastAPI

from cluster.api.failures import install_failures
from cluster.api.guard import Guard
from cluster.api.routes import artifact_routes, job_routes, ledger_routes, site_routes, storage_routes
from cluster.api.service import SiteService


def build_app(service: SiteService, token: str) -> FastAPI:
    """An ASGI application to be served on a loopback address.

    Raises:
        ValueError: the token is empty, so that everybody would know it.
    """
    if not token:
        raise ValueError("a gateway needs a token")
    app = FastAPI(title="pouw", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    for routes in (site_routes, ledger_routes, job_routes, storage_routes, artifact_routes):
        app.include_router(routes(service))
    install_failures(app)
    app.add_middleware(Guard, token=token)
    return app
