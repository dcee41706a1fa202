-- What a write must know before it looks at its target, in one row of JSON: rights, and types of columns. $NAME is the
-- quoted target as a literal, $TYPES an array of type names as a literal, $SCHEMA the target's schema; $ALL_PUBLISHED
-- differs between versions of the server.
WITH RECURSIVE
named AS (
  SELECT name, to_regtype(name)::oid AS oid FROM unnest($TYPES::text[]) AS name
),
needed (oid) AS (
  SELECT atttypid FROM pg_attribute WHERE attrelid = to_regclass($NAME) AND attnum > 0 AND NOT attisdropped
  UNION SELECT oid FROM named WHERE oid IS NOT NULL
  UNION SELECT next.oid FROM needed JOIN pg_type t ON t.oid = needed.oid,
    LATERAL (VALUES (t.typbasetype), (CASE WHEN t.typlen = -1 THEN t.typelem ELSE 0 END)) AS next (oid)
    WHERE next.oid <> 0
)
SELECT json_build_object(
  'there', to_regclass($NAME) IS NOT NULL,
  'schema', current_schema(),
  'allPublished', $ALL_PUBLISHED,
  'mayCreate', coalesce(has_schema_privilege(to_regnamespace($SCHEMA)::oid, 'CREATE'), false),
  'marker', json_build_object(
    'table', CASE WHEN to_regclass('etl.commits') IS NOT NULL
      THEN has_schema_privilege('etl', 'USAGE') AND has_table_privilege('etl.commits', 'SELECT')
        AND has_table_privilege('etl.commits', 'INSERT') END,
    'schema', CASE WHEN to_regnamespace('etl') IS NOT NULL
      THEN has_schema_privilege('etl', 'USAGE') AND has_schema_privilege('etl', 'CREATE') END,
    'database', has_database_privilege(current_database(), 'CREATE')),
  'hashes', coalesce((SELECT has_function_privilege(hash::oid, 'EXECUTE')
    FROM to_regprocedure('pg_catalog.hashtextextended(text,bigint)') AS hash), false),
  'names', (SELECT coalesce(json_object_agg(name, oid::bigint), '{}') FROM named),
  'types', (SELECT coalesce(json_agg(json_build_object(
      'oid', t.oid::bigint, 'class', t.typtype, 'base', t.typbasetype::bigint, 'modifier', t.typtypmod,
      'category', t.typcategory, 'element', CASE WHEN t.typlen = -1 THEN t.typelem::bigint ELSE 0 END,
      'array', t.typcategory = 'A',
      'textual', coalesce(p.prosrc = 'textrecv', false))), '[]')
    FROM needed JOIN pg_type t ON t.oid = needed.oid LEFT JOIN pg_proc p ON p.oid = t.typreceive)
)::text
