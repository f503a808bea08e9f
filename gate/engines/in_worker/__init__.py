"""What runs in a model's own process. It stands alone: it never imports ``gate``, and is put on no path.

Loading a model runs its code, so the gate never loads one itself. It starts ``__main__.py`` by its path, under the
interpreter of the model's environment (Python 3.9 or newer) and with a scrubbed environment
(``gate.engines.environment``). What is imported here is the standard library, NumPy, pyarrow (14 or newer), pandas and
MLflow (2 or 3), and PyTorch for models of PyTorch; what lies here is imported relatively only. So the same files are
the package ``gate_model`` in a worker, and in the folder of a model that Spark distributes, and
``gate.engines.in_worker`` inside the gate.

``serving`` is the process, and ``frames`` what it and the gate tell each other. ``predicting`` turns a batch into
``features`` (``tensors``, ``images``), asks the ``loaded`` model (or ``torch_models``), and makes a column of its
``answers``. ``spark_model`` does the same in Spark's Python workers.
"""
