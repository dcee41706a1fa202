-- What each write must know of a target that is there, in one row of JSON. NAME is the quoted target as a literal; the other
-- words are conditions that differ between versions of the server and between writes. Each catalog is looked into once: a
-- server takes longer to plan this than to answer.
WITH
target AS (
  SELECT $COLUMNS, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($NAME)
),
attribute AS (
  SELECT a.*, t.typtype, d.oid IS NOT NULL OR a.attidentity <> '' OR t.typdefault IS NOT NULL AS filled
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = (SELECT oid FROM target) AND a.attnum > 0 AND NOT a.attisdropped
),
uniqueness AS (SELECT x.* FROM pg_index x WHERE x.indrelid = (SELECT oid FROM target) AND x.indisunique),
rule AS (
  SELECT k.oid, k.conname, k.contype, k.conrelid, k.confrelid, k.conkey FROM pg_constraint k
  WHERE k.conrelid = (SELECT oid FROM target)
),
fired AS (SELECT FROM pg_trigger g WHERE g.tgrelid = (SELECT oid FROM target) AND NOT g.tgisinternal)
SELECT json_build_object(
  'kind', relkind, 'persistence', relpersistence, 'schema', nspname, 'name', relname,
  'access', json_build_object(
    'insert', has_table_privilege(oid, 'INSERT'),
    'lock', has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE'),
    'merge', has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'UPDATE'),
    'delete', has_table_privilege(oid, 'DELETE'),
    'readHere', $READ_HERE),
  'columns', (SELECT coalesce(json_agg(json_build_object(
      'name', attname, 'type', atttypid::bigint, 'modifier', atttypmod, 'shown', format_type(atttypid, atttypmod),
      'notNull', attnotnull, 'filled', filled, 'generated', $GENERATED, 'always', attidentity = 'a')
      ORDER BY attnum), '[]') FROM attribute),
  -- Unique indexes over columns alone. An arbiter is what ON CONFLICT may name.
  'uniques', (SELECT coalesce(json_agg(json_build_object(
      'primary', x.indisprimary, 'arbiter', x.indimmediate, 'columns', (
        SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(x.indkey) WITH ORDINALITY AS k (attnum, place)
        JOIN attribute a ON a.attnum = k.attnum
        WHERE k.place <= coalesce((to_jsonb(x) ->> 'indnkeyatts')::int, x.indnatts)))), '[]')
    FROM uniqueness x WHERE x.indisvalid AND x.indpred IS NULL AND NOT 0 = ANY (x.indkey)),
  'published', $PUBLISHED,
  -- Whether anything may refuse a row beyond its types.
  'guarded', relkind <> 'r' OR EXISTS (SELECT FROM uniqueness)
    OR EXISTS (SELECT FROM rule WHERE contype IN ('c', 'f', 'p', 'u', 'x', 't')) OR EXISTS (SELECT FROM fired)
    OR EXISTS (SELECT FROM attribute WHERE typtype = 'd'),
  'triggers', EXISTS (SELECT FROM fired),
  'refersToItself', EXISTS (SELECT FROM rule WHERE contype = 'f' AND confrelid = conrelid),
  'checks', (SELECT coalesce(json_agg(json_build_object(
      'name', conname, 'definition', pg_get_constraintdef(rule.oid), 'columns', (
        SELECT coalesce(json_agg(a.attname), '[]') FROM attribute a WHERE a.attnum = ANY (conkey)))
      ORDER BY conname), '[]')
    FROM rule WHERE contype = 'c' AND NOT 0 = ANY (conkey)),
  'referenced', (SELECT coalesce(json_agg(json_build_object(
      'table', k.conrelid::regclass::text, 'action', k.confdeltype)), '[]')
    FROM pg_constraint k WHERE k.confrelid = target.oid AND k.contype = 'f' AND k.conrelid <> target.oid)
)::text FROM target
