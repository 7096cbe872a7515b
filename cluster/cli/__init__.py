"""The `pouw` command. Commands parse, call and render; what they do lies elsewhere."""
