"""Write every golden vector beside this file. Run after a change of the rules; the difference in git is the change."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.vectors.chain import chain_vectors
from tests.vectors.deals import deal_vectors
from tests.vectors.primitives import codec_vectors, digest_vectors, merkle_vectors, signature_vectors
from tests.vectors.rules import beacon_vectors, difficulty_vectors, sampling_vectors, state_vectors, work_vectors
from tests.vectors.storage import seal_vectors, sector_vectors, storage_draw_vectors

FOLDER: Final = Path(__file__).parent
BUILDERS: Final[dict[str, Callable[[], object]]] = {
    "codec": codec_vectors,
    "digests": digest_vectors,
    "merkle": merkle_vectors,
    "signatures": signature_vectors,
    "work": work_vectors,
    "difficulty": difficulty_vectors,
    "sampling": sampling_vectors,
    "beacon": beacon_vectors,
    "state": state_vectors,
    "chain": chain_vectors,
    "sectors": sector_vectors,
    "storage_draws": storage_draw_vectors,
    "seals": seal_vectors,
    "deals": deal_vectors,
}


def render(name: str) -> str:
    """The text of one vector file."""
    return json.dumps(BUILDERS[name](), indent=1) + "\n"


def main() -> None:
    for name in BUILDERS:
        (FOLDER / f"{name}.json").write_text(render(name), encoding="ascii")


if __name__ == "__main__":
    main()
