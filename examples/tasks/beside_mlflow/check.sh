set -e
python set_level.py
gate check --model digits --candidate 2 --incumbent @champion --data holdout.parquet --policy policy.yaml
