-- What a write must know of a target that is there, in one row of JSON. NAME is the quoted target as a literal; the other
-- words are conditions that differ between versions of the server.
WITH
target AS (
  SELECT $COLUMNS, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($NAME)
),
attribute AS (
  SELECT a.*, d.oid AS default_oid FROM pg_attribute a
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = (SELECT oid FROM target) AND a.attnum > 0 AND NOT a.attisdropped
),
dependent AS (
  -- What would be lost or stand in the way if another table took the target's place.
  SELECT DISTINCT CASE
      WHEN d.classid = 'pg_rewrite'::regclass THEN (
        SELECT CASE WHEN v.oid = t.oid THEN 'a rule' ELSE 'the view ' || v.oid::regclass::text END
        FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class WHERE r.oid = d.objid)
      ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END AS what
  FROM target t JOIN pg_depend d ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid)
    OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
      t.reltype, (SELECT y.typarray FROM pg_type y WHERE y.oid = t.reltype)))
  WHERE NOT EXISTS (SELECT FROM pg_attrdef x WHERE d.classid = 'pg_attrdef'::regclass AND x.oid = d.objid
      AND x.adrelid = t.oid)
    AND NOT EXISTS (SELECT FROM pg_index x WHERE d.classid = 'pg_class'::regclass AND x.indexrelid = d.objid
      AND x.indrelid = t.oid)
    AND NOT EXISTS (SELECT FROM pg_constraint x WHERE d.classid = 'pg_constraint'::regclass AND x.oid = d.objid
      AND x.conrelid = t.oid AND x.contype IN ('c', 'p', 'u', 'x', 'n'))
    AND NOT EXISTS (SELECT FROM pg_class x WHERE d.classid = 'pg_class'::regclass AND x.oid = d.objid
      AND (x.relkind = 't' OR x.relkind = 'S' AND d.deptype IN ('a', 'i')))
    AND NOT (d.classid = 'pg_type'::regclass AND d.deptype = 'i')
    AND d.objid <> t.oid
),
odd AS (
  -- What a copy of the table's definition does not bring along.
  SELECT unnest(ARRAY[
    CASE WHEN relrowsecurity OR relforcerowsecurity THEN 'row level security' END,
    CASE WHEN relreplident <> 'd' THEN 'its replica identity' END,
    CASE WHEN reloftype <> 0 THEN 'its row type' END,
    CASE WHEN relkind <> 'r' THEN 'its kind' END,
    CASE WHEN reltablespace <> 0 OR EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE i.indrelid = target.oid AND c.reltablespace <> 0) THEN 'its tablespace' END,
    CASE WHEN relkind = 'r' AND $METHOD THEN 'its access method' END,
    CASE WHEN relpersistence = 't' THEN 'its session' END,
    CASE WHEN EXISTS (SELECT FROM pg_inherits i WHERE target.oid IN (i.inhrelid, i.inhparent)) THEN 'inheritance' END,
    CASE WHEN EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = target.oid AND NOT g.tgisinternal) THEN 'its triggers' END,
    CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = target.oid AND k.contype = 'f')
      THEN 'its foreign keys' END,
    CASE WHEN EXISTS (SELECT FROM pg_index x WHERE x.indrelid = target.oid AND (x.indisclustered OR NOT x.indisvalid))
      THEN 'a clustered or invalid index' END,
    CASE WHEN EXISTS (SELECT FROM pg_seclabel s WHERE s.objoid = target.oid AND s.classoid = 'pg_class'::regclass)
      THEN 'its security label' END,
    CASE WHEN EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = target.oid
      AND e.deptype IN ('e', 'x')) THEN 'the extension that it belongs to' END,
    CASE WHEN NOT pg_has_role(relowner, 'USAGE') THEN 'its owner' END
  ]) AS what FROM target
)
SELECT json_build_object(
  'oid', oid::bigint, 'kind', relkind, 'persistence', relpersistence, 'schema', nspname, 'name', relname,
  'access', json_build_object(
    'insert', has_table_privilege(oid, 'INSERT'),
    'lock', has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE'),
    'merge', has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'UPDATE'),
    'delete', has_table_privilege(oid, 'DELETE'),
    'readHere', EXISTS (
      SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE l.locktype = 'relation' AND l.granted AND l.relation = target.oid AND a.datname = current_database()
        AND a.application_name ~ ' (leader|reader)$')),
  'columns', (SELECT coalesce(json_agg(json_build_object(
      'name', attname, 'type', atttypid::bigint, 'modifier', atttypmod, 'shown', format_type(atttypid, atttypmod),
      'notNull', attnotnull, 'filled', default_oid IS NOT NULL OR attidentity <> '' OR EXISTS (
        SELECT FROM pg_type t WHERE t.oid = atttypid AND t.typdefault IS NOT NULL),
      'generated', $GENERATED, 'always', attidentity = 'a') ORDER BY attnum), '[]') FROM attribute),
  -- Unique indexes over columns alone. An arbiter is what ON CONFLICT may name.
  'uniques', (SELECT coalesce(json_agg(json_build_object(
      'primary', x.indisprimary, 'arbiter', x.indimmediate, 'columns', (
        SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(x.indkey) WITH ORDINALITY AS k (attnum, place)
        JOIN attribute a ON a.attnum = k.attnum
        WHERE k.place <= coalesce((to_jsonb(x) ->> 'indnkeyatts')::int, x.indnatts)))), '[]')
    FROM pg_index x WHERE x.indrelid = target.oid AND x.indisunique AND x.indisvalid AND x.indpred IS NULL
      AND NOT 0 = ANY (x.indkey)),
  'dependents', (SELECT coalesce(json_agg(what ORDER BY what), '[]') FROM dependent),
  'odd', (SELECT coalesce(json_agg(what), '[]') FROM odd WHERE what IS NOT NULL),
  'published', $PUBLISHED,
  -- Whether anything may refuse a row beyond its types.
  'guarded', relkind <> 'r' OR EXISTS (SELECT FROM pg_index x WHERE x.indrelid = target.oid AND x.indisunique)
    OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = target.oid AND k.contype IN ('c', 'f', 'p', 'u', 'x', 't'))
    OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = target.oid AND NOT g.tgisinternal)
    OR EXISTS (SELECT FROM attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE t.typtype = 'd'),
  'triggers', EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = target.oid AND NOT g.tgisinternal),
  'refersToItself', EXISTS (
    SELECT FROM pg_constraint k WHERE k.conrelid = target.oid AND k.confrelid = target.oid AND k.contype = 'f'),
  'checks', (SELECT coalesce(json_agg(json_build_object(
      'name', k.conname, 'definition', pg_get_constraintdef(k.oid), 'columns', (
        SELECT coalesce(json_agg(a.attname), '[]') FROM attribute a WHERE a.attnum = ANY (k.conkey)))
      ORDER BY k.conname), '[]')
    FROM pg_constraint k WHERE k.conrelid = target.oid AND k.contype = 'c' AND NOT 0 = ANY (k.conkey)),
  'referenced', (SELECT coalesce(json_agg(json_build_object(
      'table', k.conrelid::regclass::text, 'action', k.confdeltype)), '[]')
    FROM pg_constraint k WHERE k.confrelid = target.oid AND k.contype = 'f' AND k.conrelid <> target.oid)
)::text FROM target
