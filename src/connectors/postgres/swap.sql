-- The statements, in order, that put table STAGE in the place of OLD with all that a LIKE did not bring: indexes under
-- their names, sequences with their values, owner, grants, options, comments. TEMPORARY begins the names of the meantime.
WITH
old AS (
  SELECT $COLUMNS, n.nspname, format('%I.%I', n.nspname, c.relname) AS shown
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($OLD)
),
new AS (
  SELECT $COLUMNS, $STAGE AS shown FROM pg_class c WHERE c.oid = to_regclass($STAGE)
),
indexes AS (
  SELECT i.indexrelid AS oid, c.relname, k.oid AS constraint_oid, k.contype, k.condeferrable, k.condeferred,
    format('%s_%s', $TEMPORARY, row_number() OVER (ORDER BY i.indexrelid)) AS temporary,
    format('CREATE %sINDEX %I ON %s ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname, old.shown) AS head,
    pg_get_indexdef(i.indexrelid) AS definition, i.indisunique
  FROM old JOIN pg_index i ON i.indrelid = old.oid JOIN pg_class c ON c.oid = i.indexrelid
  LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = old.oid AND k.contype IN ('p', 'u', 'x')
),
attributes AS (
  SELECT a.*, to_jsonb(a) AS facts FROM old JOIN pg_attribute a ON a.attrelid = old.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped
),
identities AS (
  SELECT s.oid, format('%I.%I', n.nspname, s.relname) AS shown, s.relname, s.relacl, s.relowner,
    pg_get_serial_sequence(new.shown, a.attname) AS fresh, q.seqincrement > 0 AS ascends
  FROM attributes a CROSS JOIN new
  JOIN pg_class s ON s.oid = pg_get_serial_sequence((SELECT shown FROM old), a.attname)::regclass
  JOIN pg_sequence q ON q.seqrelid = s.oid
  JOIN pg_namespace n ON n.oid = s.relnamespace WHERE a.attidentity <> ''
),
grants AS (
  SELECT format('TABLE %s', new.shown) AS what, x.privilege_type AS privilege, x.grantee, x.is_grantable, x.ordinality
  FROM old CROSS JOIN new
  CROSS JOIN aclexplode(coalesce(old.relacl, acldefault('r', old.relowner))) WITH ORDINALITY x
  UNION ALL
  SELECT format('TABLE %s', new.shown), format('%s (%I)', x.privilege_type, a.attname), x.grantee, x.is_grantable, x.ordinality
  FROM attributes a CROSS JOIN new CROSS JOIN aclexplode(a.attacl) WITH ORDINALITY x
  UNION ALL
  SELECT format('SEQUENCE %s', i.fresh), x.privilege_type, x.grantee, x.is_grantable, x.ordinality
  FROM identities i CROSS JOIN aclexplode(coalesce(i.relacl, acldefault('s', i.relowner))) WITH ORDINALITY x
),
revokes AS (
  SELECT DISTINCT format('TABLE %s', new.shown) AS what, x.grantee FROM new
  CROSS JOIN aclexplode(coalesce(new.relacl, acldefault('r', new.relowner))) x
  UNION SELECT format('TABLE %s', new.shown), old.relowner FROM new, old
  UNION SELECT format('SEQUENCE %s', i.fresh), x.grantee FROM identities i JOIN pg_class s ON s.oid = i.fresh::regclass
  CROSS JOIN aclexplode(coalesce(s.relacl, acldefault('s', s.relowner))) x
  UNION SELECT format('SEQUENCE %s', i.fresh), i.relowner FROM identities i
),
options AS (
  SELECT format('%I=%L', o.option_name, o.option_value) AS text FROM old, pg_options_to_table(old.reloptions) o
  UNION ALL
  SELECT format('toast.%I=%L', o.option_name, o.option_value)
  FROM old JOIN pg_class t ON t.oid = old.reltoastrelid, pg_options_to_table(t.reloptions) o
),
statements (phase, place, sql) AS (
  -- Before the target is locked: what takes long.
  SELECT 10, i.temporary, CASE
      WHEN i.contype = 'x' THEN format('ALTER TABLE %s ADD CONSTRAINT %I %s', new.shown, i.temporary,
        pg_get_constraintdef(i.constraint_oid))
      WHEN left(i.definition, length(i.head)) <> i.head THEN 'SELECT etl_index_definition_not_understood()'
      ELSE format('CREATE %sINDEX %I ON %s %s', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, i.temporary,
        new.shown, substr(i.definition, length(i.head) + 1)) END
  FROM indexes i, new
  UNION ALL
  SELECT 11, i.temporary, format('ALTER TABLE %s ADD CONSTRAINT %I %s USING INDEX %I%s', new.shown, i.temporary,
      CASE i.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, i.temporary,
      CASE WHEN i.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED' WHEN i.condeferrable THEN ' DEFERRABLE' ELSE '' END)
  FROM indexes i, new WHERE i.contype IN ('p', 'u')
  -- From 20 on the target is locked.
  UNION ALL
  SELECT 30, '', format('ALTER TABLE %s OWNER TO %I', new.shown, pg_get_userbyid(old.relowner)) FROM old, new
    WHERE old.relowner <> new.relowner
  UNION ALL
  SELECT 31, '', format('COMMENT ON TABLE %s IS %L', new.shown, obj_description(old.oid, 'pg_class')) FROM old, new
  UNION ALL
  SELECT 32, '', format('ALTER TABLE %s SET (%s)', new.shown, (SELECT string_agg(text, ', ') FROM options)) FROM new
    WHERE EXISTS (SELECT FROM options)
  UNION ALL
  SELECT 33, a.attname, format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', new.shown, a.attname,
      a.facts ->> 'attstattarget')
  FROM attributes a, new WHERE (a.facts ->> 'attstattarget')::int >= 0
  UNION ALL
  SELECT 34, a.attname, format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', new.shown, a.attname,
      (SELECT string_agg(format('%I=%L', o.option_name, o.option_value), ', ') FROM pg_options_to_table(a.attoptions) o))
  FROM attributes a, new WHERE a.attoptions IS NOT NULL
  UNION ALL
  -- Rows that brought no value took theirs from the new sequence: whichever is further along counts.
  SELECT 40, i.shown, format('SELECT setval(%L, last_value, is_called) FROM (SELECT * FROM ('
      'SELECT last_value, is_called FROM %s UNION ALL SELECT last_value, is_called FROM %s) both_of_them '
      'ORDER BY last_value %s, is_called DESC LIMIT 1) furthest',
      i.fresh, i.shown, i.fresh, CASE WHEN i.ascends THEN 'DESC' ELSE 'ASC' END) FROM identities i
  UNION ALL
  -- Sequences of serial columns move on to the new table.
  SELECT 41, s.relname::text, format('ALTER SEQUENCE %I.%I OWNED BY %s.%I', n.nspname, s.relname, new.shown, a.attname)
  FROM new, attributes a JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
    AND d.refobjsubid = a.attnum AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
  UNION ALL
  SELECT 50, what, format('REVOKE ALL ON %s FROM %s', what,
      CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) FROM revokes
  UNION ALL
  -- In the old order, so that the list of grants reads the same.
  SELECT 51, lpad(ordinality::text, 9, '0'), format('GRANT %s ON %s TO %s%s', privilege, what,
      CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
      CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM grants
  UNION ALL
  SELECT 60, '', format('DROP TABLE %s', shown) FROM old
  UNION ALL
  SELECT 61, '', format('ALTER TABLE %s RENAME TO %I', new.shown, old.relname) FROM old, new
  UNION ALL
  SELECT 70, i.temporary, format('ALTER INDEX %I.%I RENAME TO %I', old.nspname, i.temporary, i.relname) FROM indexes i, old
  UNION ALL
  SELECT 71, i.relname::text, format('ALTER SEQUENCE %s RENAME TO %I', i.fresh, i.relname) FROM identities i
  UNION ALL
  SELECT 72, i.temporary, format('COMMENT ON INDEX %I.%I IS %L', old.nspname, i.relname, obj_description(i.oid, 'pg_class'))
  FROM indexes i, old WHERE obj_description(i.oid, 'pg_class') IS NOT NULL
  UNION ALL
  SELECT 73, i.temporary, format('COMMENT ON CONSTRAINT %I ON %s IS %L', i.relname, old.shown,
      obj_description(i.constraint_oid, 'pg_constraint'))
  FROM indexes i, old WHERE obj_description(i.constraint_oid, 'pg_constraint') IS NOT NULL
)
SELECT phase < 20, sql FROM statements ORDER BY phase, place
