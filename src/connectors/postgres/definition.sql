-- What of the target OLD differs from the stage STAGE, which was made after it: one row per difference. WHOLE tells
-- whether the stage is to take the target's place; else only the types of the columns that it has count.
WITH
attribute AS (
  SELECT a.attrelid = to_regclass($OLD) AS old, a.attname, a.atttypid, a.atttypmod,
    row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS place,
    concat_ws(' ', a.attnotnull, a.attcollation, to_jsonb(a) ->> 'attidentity', to_jsonb(a) ->> 'attgenerated') AS kind,
    pg_get_expr(d.adbin, d.adrelid) AS filled
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid IN (to_regclass($OLD), to_regclass($STAGE)) AND a.attnum > 0 AND NOT a.attisdropped
    -- Where a row of the stage comes from is no column of the target.
    AND a.attname NOT IN ('__etl_part', '__etl_row')
),
rule AS (
  SELECT conrelid = to_regclass($OLD) AS old, conname, replace(pg_get_constraintdef(oid), ' NOT VALID', '') AS definition
  FROM pg_constraint WHERE conrelid IN (to_regclass($OLD), to_regclass($STAGE)) AND contype = 'c'
),
typed AS (
  SELECT old, attname, atttypid, atttypmod FROM attribute
)
SELECT 'its columns' WHERE EXISTS (
  SELECT attname, atttypid, atttypmod FROM typed WHERE NOT old
  EXCEPT SELECT attname, atttypid, atttypmod FROM typed WHERE old)
UNION ALL
SELECT 'its columns' WHERE $WHOLE AND EXISTS (
  SELECT attname, atttypid, atttypmod, place, kind, filled FROM attribute WHERE old
  EXCEPT SELECT attname, atttypid, atttypmod, place, kind, filled FROM attribute WHERE NOT old)
UNION ALL
SELECT 'its checks' WHERE $WHOLE AND (
  EXISTS (SELECT conname, definition FROM rule WHERE old EXCEPT SELECT conname, definition FROM rule WHERE NOT old)
  OR EXISTS (SELECT conname, definition FROM rule WHERE NOT old EXCEPT SELECT conname, definition FROM rule WHERE old))
LIMIT 1
