"""Everything that a site's workers need but Ray; importing this loads it. Torch comes with jobs.training."""
# ruff: noqa: F401, ICN001 - for those who are forked

from contextlib import suppress

import uvicorn

import cluster.api.app
import cluster.node.coordinator
import cluster.node.miner
import cluster.node.provider
import cluster.node.storage_desk
import cluster.node.supervisor
import cluster.node.training
import cluster.node.verifier
import cluster.wiring
import jobs.evaluation
import jobs.machine
import jobs.replay
import jobs.training.round
import jobs.training.slot
import storage.erasure

with suppress(ImportError):  # what Ray imports; another Ray may do without
    import filelock
    import google.protobuf  # type: ignore[import-untyped]
    import grpc  # type: ignore[import-untyped]
    import jsonschema
    import packaging
    import pyarrow
    import requests
    import yaml  # type: ignore[import-untyped]
