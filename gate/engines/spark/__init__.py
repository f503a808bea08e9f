"""Score and count where the data are: in a Spark cluster, or with Spark on this machine.

Each model becomes a ``mlflow.pyfunc.spark_udf`` (``models``); what each partition makes of the answers is a text
(``wire``), and only these texts leave the cluster (``jobs``), with the session that is there or one of the gate's own
(``session``). Together with ``gate.data.spark`` the only place that imports pyspark.
"""
