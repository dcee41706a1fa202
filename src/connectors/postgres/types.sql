-- The types of the columns of NAME, the quoted target as a literal, and those in the array OIDS, with all that lies below
-- them: in one row of JSON.
WITH RECURSIVE needed (oid) AS (
  SELECT atttypid FROM pg_attribute WHERE attrelid = to_regclass($NAME) AND attnum > 0 AND NOT attisdropped
  UNION SELECT unnest($OIDS::oid[])
  UNION SELECT next.oid FROM needed JOIN pg_type t ON t.oid = needed.oid,
    LATERAL (VALUES (t.typbasetype), (CASE WHEN t.typlen = -1 THEN t.typelem ELSE 0 END)) AS next (oid)
    WHERE next.oid <> 0
)
SELECT coalesce(json_agg(json_build_object(
    'oid', t.oid::bigint, 'class', t.typtype, 'base', t.typbasetype::bigint, 'modifier', t.typtypmod,
    'element', CASE WHEN t.typlen = -1 THEN t.typelem::bigint ELSE 0 END,
    'array', t.typcategory = 'A',
    'textual', coalesce(p.prosrc = 'textrecv', false))), '[]')::text
  FROM needed JOIN pg_type t ON t.oid = needed.oid LEFT JOIN pg_proc p ON p.oid = t.typreceive
