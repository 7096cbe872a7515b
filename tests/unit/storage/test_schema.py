from storage import schema

CHAIN = {name: value for name, value in vars(schema).items() if name.isupper() and isinstance(value, bytes)}


def test_no_prefix_begins_another_key() -> None:
    values = list(CHAIN.values())
    assert len(set(values)) == len(values)
    assert [(one, other) for one in values for other in values if one != other and other.startswith(one)] == []


def test_key_order_is_number_order() -> None:
    heights = [0, 1, 255, 256, 65_535, 2**40, 2**63 - 1]
    keys = [schema.block_key(height) for height in heights]
    assert sorted(keys) == keys


def test_every_key_starts_with_its_prefix() -> None:
    digest = bytes(32)
    assert schema.certificate_key(1) == b"c/" + bytes(7) + b"\x01"
    assert schema.beacon_key(1).startswith(schema.BEACON)
    assert schema.height_of_block_key(digest).startswith(schema.HEIGHT_OF_BLOCK)
    assert schema.height_of_transaction_key(digest).startswith(schema.HEIGHT_OF_TRANSACTION)
    assert schema.round_commit_key(digest, 7) == b"o/" + digest + bytes(7) + b"\x07"
