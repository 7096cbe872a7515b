"""Who owns what and where each job stands: state' = f(state, transaction). Integers only, credits are conserved."""
