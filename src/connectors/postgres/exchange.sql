-- What keeps another table from taking the place of a target, in one row of JSON. NAME is the quoted target as a literal; the
-- other words are conditions that differ between versions of the server.
WITH
target AS (SELECT $COLUMNS FROM pg_class c WHERE c.oid = to_regclass($NAME)),
rule AS (SELECT k.oid, k.contype FROM pg_constraint k WHERE k.conrelid = (SELECT oid FROM target)),
own_index AS (
  SELECT x.indexrelid, c.reltablespace, x.indisclustered OR NOT x.indisvalid AS is_special
  FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indrelid = (SELECT oid FROM target)
),
dependent AS (
  -- What would be lost or stand in the way.
  SELECT DISTINCT CASE
      WHEN d.classid = 'pg_rewrite'::regclass THEN (
        SELECT CASE WHEN v.oid = t.oid THEN 'a rule' ELSE 'the view ' || v.oid::regclass::text END
        FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class WHERE r.oid = d.objid)
      ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END AS what
  -- By values and not by OR, which would read the catalog of dependencies from end to end.
  FROM target t, LATERAL (VALUES ('pg_class'::regclass, t.oid), ('pg_type'::regclass, t.reltype),
      ('pg_type'::regclass, (SELECT y.typarray FROM pg_type y WHERE y.oid = t.reltype))) AS it (class, oid)
    JOIN pg_depend d ON d.refclassid = it.class AND d.refobjid = it.oid
  WHERE NOT EXISTS (SELECT FROM pg_attrdef x WHERE d.classid = 'pg_attrdef'::regclass AND x.oid = d.objid
      AND x.adrelid = t.oid)
    AND NOT EXISTS (SELECT FROM own_index x WHERE d.classid = 'pg_class'::regclass AND x.indexrelid = d.objid)
    AND NOT EXISTS (SELECT FROM rule x WHERE d.classid = 'pg_constraint'::regclass AND x.oid = d.objid
      AND x.contype IN ('c', 'p', 'u', 'x', 'n'))
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
    CASE WHEN reltablespace <> 0 OR EXISTS (SELECT FROM own_index x WHERE x.reltablespace <> 0) THEN 'its tablespace' END,
    CASE WHEN relkind = 'r' AND $METHOD THEN 'its access method' END,
    CASE WHEN relpersistence = 't' THEN 'its session' END,
    CASE WHEN EXISTS (SELECT FROM pg_inherits i WHERE target.oid IN (i.inhrelid, i.inhparent)) THEN 'inheritance' END,
    CASE WHEN EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = target.oid AND NOT g.tgisinternal) THEN 'its triggers' END,
    CASE WHEN EXISTS (SELECT FROM rule WHERE contype = 'f') THEN 'its foreign keys' END,
    CASE WHEN EXISTS (SELECT FROM own_index WHERE is_special) THEN 'a clustered or invalid index' END,
    CASE WHEN EXISTS (SELECT FROM pg_seclabel s WHERE s.objoid = target.oid AND s.classoid = 'pg_class'::regclass)
      THEN 'its security label' END,
    CASE WHEN EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = target.oid
      AND e.deptype IN ('e', 'x')) THEN 'the extension that it belongs to' END,
    CASE WHEN NOT pg_has_role(relowner, 'USAGE') THEN 'its owner' END
  ]) AS what FROM target
)
SELECT json_build_object(
  'dependents', (SELECT coalesce(json_agg(what ORDER BY what), '[]') FROM dependent),
  'odd', (SELECT coalesce(json_agg(what), '[]') FROM odd WHERE what IS NOT NULL)
)::text FROM target
