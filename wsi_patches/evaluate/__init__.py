"""How good counts and classes are, with intervals over patients or slides."""
