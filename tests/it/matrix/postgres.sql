-- Hostile values of each type; the last row has NULLs alone.
create type mood as enum ('sad', 'very happy');
create domain price as numeric(8,2);
set time zone 'UTC';
create table truth (
  id integer primary key,
  yes boolean,
  i2 smallint,
  i4 integer,
  i8 bigint,
  f4 real,
  f4_zero real,
  f4_not real,
  f8 double precision,
  f8_zero double precision,
  f8_not double precision,
  n numeric,
  n_huge numeric,
  n_not numeric,
  n18 numeric(18,4),
  n38 numeric(38,0),
  n65 numeric(65,30),
  n76 numeric(76,10),
  n100 numeric(100,2),
  n_thousands numeric(5,-2),
  t text,
  t_null text,
  t_long text,
  t_like text,
  v5 varchar(5),
  c5 char(5),
  word name,
  letter "char",
  b bytea,
  d date,
  d_far date,
  d_inf date,
  ti time,
  ti_24 time,
  tz timetz,
  ts timestamp,
  ts_far timestamp,
  ts_inf timestamp,
  at timestamptz,
  at_far timestamptz,
  at_inf timestamptz,
  iv interval,
  iv_far interval,
  u uuid,
  j json,
  j_big json,
  jb jsonb,
  x xml,
  m money,
  ip inet,
  net cidr,
  mac macaddr,
  bits bit(5),
  bitv varbit,
  p point,
  poly polygon,
  tsv tsvector,
  lsn pg_lsn,
  jp jsonpath,
  r int4range,
  mr int4multirange,
  mood mood,
  price price,
  ai integer[],
  ai_deep integer[][],
  an numeric(10,2)[],
  at_text text[],
  am mood[]
);
insert into truth (id) values (1), (2), (3), (4), (5);
update truth set yes = true where id = 1;
update truth set yes = false where id = 2;
update truth set i2 = -32768 where id = 1;
update truth set i2 = 32767 where id = 2;
update truth set i4 = -2147483648 where id = 1;
update truth set i4 = 2147483647 where id = 2;
update truth set i8 = -9223372036854775808 where id = 1;
update truth set i8 = 9223372036854775807 where id = 2;
update truth set f4_zero = '-0' where id = 1;
update truth set f4 = 1e-45 where id = 2;
update truth set f4 = 3.4028235e38 where id = 3;
update truth set f4 = 0.1 where id = 4;
update truth set f4_not = 'NaN' where id = 1;
update truth set f4_not = 'Infinity' where id = 2;
update truth set f4_not = '-Infinity' where id = 3;
update truth set f8_zero = '-0' where id = 1;
update truth set f8 = 5e-324 where id = 2;
update truth set f8 = 1.7976931348623157e308 where id = 3;
update truth set f8 = 0.1 where id = 4;
update truth set f8_not = 'NaN' where id = 1;
update truth set f8_not = 'Infinity' where id = 2;
update truth set f8_not = '-Infinity' where id = 3;
update truth set n = 0.000 where id = 1;
update truth set n = -12345678901234567890.000100 where id = 2;
update truth set n = 1e-10 where id = 3;
update truth set n = 99999999999999999999 where id = 4;
update truth set n_huge = 1e-100 where id = 1;
update truth set n_huge = 1e130 where id = 2;
update truth set n_not = 'NaN' where id = 1;
update truth set n_not = 'Infinity' where id = 2;
update truth set n_not = '-Infinity' where id = 3;
update truth set n18 = -99999999999999.9999 where id = 1;
update truth set n18 = 0.0001 where id = 2;
update truth set n18 = 12.3400 where id = 3;
update truth set n38 = 99999999999999999999999999999999999999 where id = 1;
update truth set n38 = -1 where id = 2;
update truth set n65 = -99999999999999999999999999999999999.999999999999999999999999999999 where id = 1;
update truth set n65 = 0.5 where id = 2;
update truth set n76 = 999999999999999999999999999999999999999999999999999999999999999999.9999999999 where id = 1;
update truth set n100 = 1e97 where id = 1;
update truth set n100 = 0.01 where id = 2;
update truth set n_thousands = 12300 where id = 1;
update truth set n_thousands = -9999900 where id = 2;
update truth set t = '' where id = 1;
update truth set t = 'it''s "quoted"' where id = 2;
update truth set t = E'two\nlines\r\n\ttab' where id = 3;
update truth set t = 'ä€😀' where id = 4;
update truth set t_null = 'NULL' where id = 1;
update truth set t_null = '\N' where id = 2;
update truth set t_null = 'null' where id = 3;
update truth set t_long = repeat('雪', 350000) where id = 1;
update truth set t_like = '007' where id = 1;
update truth set t_like = '+1' where id = 2;
update truth set t_like = '1e5' where id = 3;
update truth set t_like = ' 2024-01-01 ' where id = 4;
update truth set v5 = 'abc  ' where id = 1;
update truth set v5 = '' where id = 2;
update truth set v5 = 'äöüßé' where id = 3;
update truth set c5 = 'abc' where id = 1;
update truth set c5 = '' where id = 2;
update truth set word = 'Some Name' where id = 1;
update truth set letter = 'a' where id = 1;
update truth set letter = '' where id = 2;
update truth set b = '\x00ff' where id = 1;
update truth set b = '' where id = 2;
update truth set b = decode(repeat('00ff', 1000), 'hex') where id = 3;
update truth set d = '0001-01-01' where id = 1;
update truth set d = '1582-10-04' where id = 2;
update truth set d = '9999-12-31' where id = 3;
update truth set d_far = '4713-01-01 BC' where id = 1;
update truth set d_far = '5874897-12-31' where id = 2;
update truth set d_inf = 'infinity' where id = 1;
update truth set d_inf = '-infinity' where id = 2;
update truth set ti = '00:00' where id = 1;
update truth set ti = '23:59:59.999999' where id = 2;
update truth set ti_24 = '24:00' where id = 1;
update truth set tz = '00:00:00+15:59' where id = 1;
update truth set tz = '12:30:00.000001-05:30' where id = 2;
update truth set ts = '0001-01-01' where id = 1;
update truth set ts = '1969-12-31 23:59:59.999999' where id = 2;
update truth set ts = '9999-12-31 23:59:59.999999' where id = 3;
update truth set ts_far = '4713-01-01 BC' where id = 1;
update truth set ts_far = '294276-12-31 23:59:59' where id = 2;
update truth set ts_inf = 'infinity' where id = 1;
update truth set ts_inf = '-infinity' where id = 2;
update truth set at = '1000-01-01 00:00:00+00' where id = 1;
update truth set at = '2024-02-29 12:00:00.000001+05:30' where id = 2;
update truth set at = '9999-12-31 23:59:59.999999+00' where id = 3;
update truth set at_far = '0044-03-15 BC' where id = 1;
update truth set at_far = '294276-12-31 23:59:59+00' where id = 2;
update truth set at_inf = 'infinity' where id = 1;
update truth set iv = '1 year -3 days 00:00:00.000001' where id = 1;
update truth set iv = '0' where id = 2;
update truth set iv = '-1 mon 25 hours' where id = 3;
update truth set iv_far = '178000000 years' where id = 1;
update truth set u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' where id = 1;
update truth set u = 'ffffffff-ffff-ffff-ffff-ffffffffffff' where id = 2;
update truth set j = '{"b": 1,  "a": [null, true, "ä"]}' where id = 1;
update truth set j = '"x"' where id = 2;
update truth set j_big = '{"a": 12345678901234567890123.000, "a": 1e400}' where id = 1;
update truth set jb = '{"b": 1.50, "a": [null, {}]}' where id = 1;
update truth set jb = '"\u00e4"' where id = 2;
update truth set x = '<a b="1">x</a>' where id = 1;
update truth set m = '-12.34' where id = 1;
update truth set ip = '10.0.0.1' where id = 1;
update truth set ip = '10.0.0.1/8' where id = 2;
update truth set ip = '::1/64' where id = 3;
update truth set net = '10.0.0.0/8' where id = 1;
update truth set mac = '08:00:2b:01:02:03' where id = 1;
update truth set bits = B'10101' where id = 1;
update truth set bitv = B'' where id = 1;
update truth set bitv = B'1011' where id = 2;
update truth set p = '(1,-0.5)' where id = 1;
update truth set poly = '((0,0),(1,1),(1,0))' where id = 1;
update truth set tsv = 'a:1A fat:2,4B cat:5D' where id = 1;
update truth set lsn = '16/B374D848' where id = 1;
update truth set jp = '$."a"[*]?(@ > 1)' where id = 1;
update truth set r = '[1,5)' where id = 1;
update truth set r = 'empty' where id = 2;
update truth set r = '(,)' where id = 3;
update truth set mr = '{[1,3),[5,9)}' where id = 1;
update truth set mood = 'sad' where id = 1;
update truth set mood = 'very happy' where id = 2;
update truth set price = 1.50 where id = 1;
update truth set ai = '{}' where id = 1;
update truth set ai = '{1,NULL,-3}' where id = 2;
update truth set ai_deep = '{{1,2},{3,4}}' where id = 1;
update truth set ai_deep = '[0:1]={5,6}' where id = 2;
update truth set an = '{1.50,NULL,-3}' where id = 1;
update truth set at_text = '{a,NULL,"NULL","","b,c"}' where id = 1;
update truth set am = '{sad,NULL}' where id = 1;
