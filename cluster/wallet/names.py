"""Names of keys, apart from the keystore so that a command's defaults do not import cryptography."""

from typing import Final

CLIENT_KEY: Final = "default"
"""The key that pays for jobs when no other is named."""
