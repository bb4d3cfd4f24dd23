"""Short vertical videos as Dagster assets: topic or scenes in, published post out."""
