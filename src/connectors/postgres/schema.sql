-- What a write must know before it looks at its target, in one row of JSON: rights, and which types there are. NAME is the
-- quoted target as a literal, TYPES an array of type names as a literal, SCHEMA the target's schema.
SELECT json_build_object(
  'there', to_regclass($NAME) IS NOT NULL,
  'schema', current_schema(),
  'allPublished', EXISTS (SELECT FROM pg_publication WHERE puballtables),
  'publishes', EXISTS (SELECT FROM pg_publication),
  'prepared', current_setting('max_prepared_transactions')::int,
  'hasSchema', to_regnamespace($SCHEMA) IS NOT NULL,
  'mayCreate', coalesce(has_schema_privilege(to_regnamespace($SCHEMA)::oid, 'CREATE'), false),
  'marker', json_build_object(
    -- Who may not use a schema may not ask what is in it.
    'table', CASE WHEN to_regnamespace('etl') IS NULL THEN NULL
      WHEN NOT has_schema_privilege('etl', 'USAGE') THEN false
      WHEN to_regclass('etl.commits') IS NOT NULL
      THEN has_table_privilege('etl.commits', 'SELECT') AND has_table_privilege('etl.commits', 'INSERT') END,
    'schema', CASE WHEN to_regnamespace('etl') IS NOT NULL
      THEN has_schema_privilege('etl', 'USAGE') AND has_schema_privilege('etl', 'CREATE') END,
    'database', has_database_privilege(current_database(), 'CREATE')),
  'hashes', coalesce((SELECT has_function_privilege(hash::oid, 'EXECUTE')
    FROM to_regprocedure('pg_catalog.hashtextextended(text,bigint)') AS hash), false),
  'names', (SELECT coalesce(json_object_agg(name, to_regtype(name)::oid::bigint), '{}')
    FROM unnest($TYPES::text[]) AS name)
)::text
