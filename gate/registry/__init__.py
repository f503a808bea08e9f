"""The MLflow registry: find a version, fetch and digest its files, read and move aliases, log a run.

``registry`` is the door. Behind it: ``refs`` reads what a user may call a model, ``address`` finds the registry,
``connection`` opens it, ``lookup`` and ``files`` ask it, ``runs`` keeps the record of a check, ``troubles`` says what
went wrong, ``refusal`` what an enforcing registry does not let through; ``manifest`` digests a model's files. ``lease``
lets one promoter at a time move an alias, by ``claim``; ``moves`` reads what promoters recorded, ``journal`` what an
enforcing store did.
"""
