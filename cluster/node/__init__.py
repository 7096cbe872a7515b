"""What runs in each role, without Ray: plain objects that the actors hold and tests drive directly."""
