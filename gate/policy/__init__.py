"""The policy: what a team demands of an update, as data; read from YAML, judged rule by rule."""
