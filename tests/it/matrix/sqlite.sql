-- Hostile values of each type; the last row has NULLs alone.
create table truth (
  id integer primary key,
  yes BOOLEAN,
  i2 INT2,
  i4 INT4,
  i8 INTEGER,
  f4 FLOAT4,
  f8 REAL,
  f8_inf REAL,
  n DECIMAL_TEXT(38,10),
  t TEXT,
  t_null TEXT,
  t_nul TEXT,
  t_like TEXT,
  t_long TEXT,
  b BLOB,
  d DATE,
  ti TIME,
  ts DATETIME,
  tsn DATETIME(9),
  at TIMESTAMPTZ,
  u UUID,
  j JSON,
  mixed ANY
);
insert into truth (id) values (1), (2), (3), (4), (5);
update truth set yes = 1 where id = 1;
update truth set yes = 0 where id = 2;
update truth set i2 = -32768 where id = 1;
update truth set i2 = 32767 where id = 2;
update truth set i4 = -2147483648 where id = 1;
update truth set i4 = 2147483647 where id = 2;
update truth set i8 = -9223372036854775807 - 1 where id = 1;
update truth set i8 = 9223372036854775807 where id = 2;
update truth set f4 = 0.5 where id = 1;
update truth set f4 = -1.5 where id = 2;
update truth set f8 = 5e-324 where id = 1;
update truth set f8 = 1.7976931348623157e308 where id = 2;
update truth set f8 = 0.1 where id = 3;
update truth set f8_inf = 9e999 where id = 1;
update truth set f8_inf = -9e999 where id = 2;
update truth set n = '-9999999999999999999999999999.9999999999' where id = 1;
update truth set n = '0.5000000000' where id = 2;
update truth set t = '' where id = 1;
update truth set t = 'it''s "quoted"' where id = 2;
update truth set t = 'two' || char(10) || 'lines' || char(13, 10, 9) || 'tab' where id = 3;
update truth set t = 'ä€😀' where id = 4;
update truth set t_null = 'NULL' where id = 1;
update truth set t_null = '\N' where id = 2;
update truth set t_nul = 'a' || char(0) || 'b' where id = 1;
update truth set t_like = '007' where id = 1;
update truth set t_like = '1e5' where id = 2;
update truth set t_long = replace(hex(zeroblob(500000)), '00', 'ab') where id = 1;
update truth set b = x'' where id = 1;
update truth set b = x'00ff' where id = 2;
update truth set b = zeroblob(300) where id = 3;
update truth set d = '0001-01-01' where id = 1;
update truth set d = '9999-12-31' where id = 2;
update truth set ti = '00:00:00' where id = 1;
update truth set ti = '23:59:59.999999' where id = 2;
update truth set ts = '0001-01-01 00:00:00' where id = 1;
update truth set ts = '9999-12-31 23:59:59.999999' where id = 2;
update truth set tsn = '1969-12-31 23:59:59.999999999' where id = 1;
update truth set at = '1969-12-31 23:59:59.999999+00:00' where id = 1;
update truth set at = '2024-02-29 12:00:00+00:00' where id = 2;
update truth set u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' where id = 1;
update truth set j = '{"b":1,"a":[null,true,"ä"]}' where id = 1;
update truth set j = '"x"' where id = 2;
update truth set mixed = 1 where id = 1;
update truth set mixed = 'one' where id = 2;
update truth set mixed = x'01' where id = 3;
update truth set mixed = 1.5 where id = 4;
