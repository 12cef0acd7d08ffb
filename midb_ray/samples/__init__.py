"""Expert revisions and a raw corpus of our own, in 16 languages: what the quickstart trains on and boosts.

`revisions/<language>.jsonl` holds twelve source rows aligned by `source_id`; `corpus.jsonl` holds their raw sides, further raw
pairs, and rows that are broken in every way a reader has to survive.
"""
