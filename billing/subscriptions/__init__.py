"""Who has what, since when and at which prices."""
