"""The gate inside MLflow: a registry store that asks for verdicts, and an evaluator that gives them.

``store`` opens the scheme ``gated:`` and says which of MLflow's calls are guarded; each of them passes ``gatekeeper``.
``guard`` decides about a move of an alias, ``reserved`` about the tags ``gate.*``. ``enforcement`` says what is
protected (``watched`` reads the file), ``files`` digests what is to be promoted, and ``book`` makes of a change and its
row in the ``journal`` one transaction. ``evaluator`` is for ``mlflow.models.evaluate``; ``settings`` reads its
configuration, ``answered`` the answers that it is given.
"""
