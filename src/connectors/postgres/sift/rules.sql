-- The rules of a target that can be looked at in a table beside it, in one row of JSON. NAME is the quoted target as a
-- literal. Expressions name columns alone, as pg_get_expr gives them for one table.
WITH
target AS (
  SELECT to_regclass($NAME)::oid AS oid
),
attribute AS (
  SELECT a.attnum, a.attname FROM target JOIN pg_attribute a ON a.attrelid = target.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped
),
rule AS (
  SELECT 1 AS place, k.conname AS name, json_build_object('kind', 'check', 'name', k.conname,
    'columns', (SELECT json_agg(a.attname ORDER BY a.attnum) FROM attribute a WHERE a.attnum = ANY (k.conkey)),
    'condition', pg_get_expr(k.conbin, k.conrelid, true)) AS text
  FROM target JOIN pg_constraint k ON k.conrelid = target.oid
  WHERE k.contype = 'c' AND k.conkey IS NOT NULL AND NOT 0 = ANY (k.conkey)
    AND coalesce((to_jsonb(k) ->> 'conenforced')::bool, true)
  UNION ALL
  SELECT 2, k.conname, json_build_object('kind', 'foreign', 'name', k.conname,
    'columns', (SELECT json_agg(a.attname ORDER BY c.place) FROM unnest(k.conkey) WITH ORDINALITY AS c (attnum, place)
      JOIN attribute a ON a.attnum = c.attnum),
    'refers', k.confrelid::regclass::text,
    'to', (SELECT json_agg(a.attname ORDER BY c.place) FROM unnest(k.confkey) WITH ORDINALITY AS c (attnum, place)
      JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.attnum),
    'full', k.confmatchtype = 'f', 'itself', k.confrelid = k.conrelid)
  FROM target JOIN pg_constraint k ON k.conrelid = target.oid
  WHERE k.contype = 'f' AND coalesce((to_jsonb(k) ->> 'conenforced')::bool, true)
    -- Those to each partition of what is referred to are the server's own.
    AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = (to_jsonb(k) ->> 'conparentid')::oid AND p.conrelid = k.conrelid)
  UNION ALL
  SELECT 3, c.relname, json_build_object('kind', 'unique', 'name', c.relname,
    'columns', (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]') FROM attribute a WHERE a.attnum IN (
        SELECT n FROM unnest(x.indkey) WITH ORDINALITY AS k (n, place) WHERE k.place <= keys.count)
      OR a.attnum IN (SELECT d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
        AND d.objid = x.indexrelid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid)),
    'keys', (SELECT json_agg(pg_get_indexdef(x.indexrelid, n, true) ORDER BY n) FROM generate_series(1, keys.count) n),
    'predicate', pg_get_expr(x.indpred, x.indrelid, true),
    'nulls', CASE WHEN (to_jsonb(x) ->> 'indnullsnotdistinct')::bool THEN 'equal' ELSE 'distinct' END)
  FROM target JOIN pg_index x ON x.indrelid = target.oid JOIN pg_class c ON c.oid = x.indexrelid
  CROSS JOIN LATERAL (SELECT coalesce((to_jsonb(x) ->> 'indnkeyatts')::int, x.indnatts::int) AS count) AS keys
  WHERE x.indisunique AND x.indisready
)
SELECT coalesce(json_agg(text ORDER BY place, name), '[]')::text FROM rule
