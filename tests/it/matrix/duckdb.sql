-- Hostile values of each type; the last row has NULLs alone.
create table truth (
  id integer primary key,
  yes boolean,
  i8 tinyint,
  i16 smallint,
  i32 integer,
  i64 bigint,
  i128 hugeint,
  u8 utinyint,
  u16 usmallint,
  u32 uinteger,
  u64 ubigint,
  u128 uhugeint,
  f32 float,
  f32_not float,
  f64 double,
  f64_not double,
  d18 decimal(18,3),
  d38 decimal(38,0),
  t varchar,
  t_null varchar,
  t_like varchar,
  t_long varchar,
  t_nul varchar,
  bl blob,
  bits bit,
  big bignum,
  u uuid,
  j json,
  e enum('a', 'it''s'),
  da date,
  da_far date,
  da_inf date,
  ti time,
  ti_24 time,
  tn time_ns,
  tz timetz,
  ts timestamp,
  ts_far timestamp,
  ts_inf timestamp,
  tss timestamp_s,
  tsm timestamp_ms,
  tsn timestamp_ns,
  zoned timestamptz,
  zoned_inf timestamptz,
  iv interval,
  iv_long interval,
  l integer[],
  lt varchar[],
  ar double[3],
  st struct(a integer, b varchar),
  mp map(varchar, integer)
);
insert into truth (id) values (1), (2), (3), (4), (5);
update truth set yes = true where id = 1;
update truth set yes = false where id = 2;
update truth set i8 = -128 where id = 1;
update truth set i8 = 127 where id = 2;
update truth set i16 = -32768 where id = 1;
update truth set i16 = 32767 where id = 2;
update truth set i32 = -2147483648 where id = 1;
update truth set i32 = 2147483647 where id = 2;
update truth set i64 = -9223372036854775808 where id = 1;
update truth set i64 = 9223372036854775807 where id = 2;
update truth set i128 = -170141183460469231731687303715884105728 where id = 1;
update truth set i128 = 170141183460469231731687303715884105727 where id = 2;
update truth set u8 = 0 where id = 1;
update truth set u8 = 255 where id = 2;
update truth set u16 = 65535 where id = 1;
update truth set u32 = 4294967295 where id = 1;
update truth set u64 = 18446744073709551615 where id = 1;
update truth set u128 = 340282366920938463463374607431768211455 where id = 1;
update truth set f32 = '1e-45' where id = 1;
update truth set f32 = '3.4028235e38' where id = 2;
update truth set f32 = 0.1 where id = 3;
update truth set f32_not = 'nan' where id = 1;
update truth set f32_not = 'inf' where id = 2;
update truth set f32_not = '-inf' where id = 3;
update truth set f64 = '5e-324' where id = 1;
update truth set f64 = '1.7976931348623157e308' where id = 2;
update truth set f64 = 0.1 where id = 3;
update truth set f64_not = 'nan' where id = 1;
update truth set f64_not = 'inf' where id = 2;
update truth set f64_not = '-inf' where id = 3;
update truth set d18 = 999999999999999.999 where id = 1;
update truth set d18 = -0.001 where id = 2;
update truth set d38 = 99999999999999999999999999999999999999 where id = 1;
update truth set d38 = -1 where id = 2;
update truth set t = '' where id = 1;
update truth set t = 'it''s "quoted"' where id = 2;
update truth set t = 'two' || chr(10) || 'lines' || chr(13) || chr(9) where id = 3;
update truth set t = 'ä€😀' where id = 4;
update truth set t_null = 'NULL' where id = 1;
update truth set t_null = '\N' where id = 2;
update truth set t_like = '007' where id = 1;
update truth set t_like = '1e5' where id = 2;
update truth set t_long = repeat('雪', 350000) where id = 1;
update truth set t_nul = 'a' || chr(0) || 'b' where id = 1;
update truth set bl = ''::blob where id = 1;
update truth set bl = '\x00\xFF'::blob where id = 2;
update truth set bits = '0' where id = 1;
update truth set bits = '0101010101' where id = 2;
update truth set big = '-123456789012345678901234567890123456789012345678901234567890' where id = 1;
update truth set u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' where id = 1;
update truth set j = '{"b": 1, "a": [null, true, "ä"]}' where id = 1;
update truth set j = '"x"' where id = 2;
update truth set e = 'a' where id = 1;
update truth set e = 'it''s' where id = 2;
update truth set da = '0001-01-01' where id = 1;
update truth set da = '9999-12-31' where id = 2;
update truth set da_far = '0044-03-15 (BC)' where id = 1;
update truth set da_far = '5881580-07-10' where id = 2;
update truth set da_inf = 'infinity' where id = 1;
update truth set da_inf = '-infinity' where id = 2;
update truth set ti = '00:00:00' where id = 1;
update truth set ti = '23:59:59.999999' where id = 2;
update truth set ti_24 = '24:00:00' where id = 1;
update truth set tn = '23:59:59.999999999' where id = 1;
update truth set tz = '12:30:00+05:30' where id = 1;
update truth set ts = '0001-01-01' where id = 1;
update truth set ts = '9999-12-31 23:59:59.999999' where id = 2;
update truth set ts_far = '290309-12-22 (BC) 00:00:00' where id = 1;
update truth set ts_far = '294246-01-10 04:00:54.775806' where id = 2;
update truth set ts_inf = 'infinity' where id = 1;
update truth set ts_inf = '-infinity' where id = 2;
update truth set ts_inf = '2024-02-29 12:00:00.000001' where id = 3;
update truth set tss = '1969-12-31 23:59:59' where id = 1;
update truth set tsm = '1969-12-31 23:59:59.999' where id = 1;
update truth set tsn = '1969-12-31 23:59:59.999999999' where id = 1;
update truth set zoned = '2024-06-30 23:59:59.5+05:30' where id = 1;
update truth set zoned = '9999-12-31 23:59:59.999999+00' where id = 2;
update truth set zoned_inf = '-infinity' where id = 1;
update truth set zoned_inf = 'infinity' where id = 2;
update truth set iv = '1 year 3 days 00:00:01.5' where id = 1;
update truth set iv = '00:00:00' where id = 2;
update truth set iv_long = '3000000:00:00' where id = 1;
update truth set l = []::integer[] where id = 1;
update truth set l = [1, NULL, 3] where id = 2;
update truth set lt = ['a', NULL, ''] where id = 1;
update truth set ar = [1.5, NULL, -2.5] where id = 1;
update truth set st = {'a': 1, 'b': 'x'} where id = 1;
update truth set mp = map {'a': 1, 'b': NULL} where id = 1;
