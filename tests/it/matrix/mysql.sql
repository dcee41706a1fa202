-- Hostile values of each type; the last row has NULLs alone.
set sql_mode = '', time_zone = '+00:00';
create table truth (
  id integer primary key,
  t1 tinyint,
  ut tinyint unsigned,
  s smallint,
  us smallint unsigned,
  m mediumint,
  i int,
  ui int unsigned,
  b bigint,
  ub bigint unsigned,
  f float,
  d double,
  n decimal(10,2),
  n65 decimal(65,30),
  b1 bit(1),
  b9 bit(9),
  b64 bit(64),
  y year,
  da date,
  da_zero date,
  da_part date,
  dt datetime,
  dt6 datetime(6),
  dt_zero datetime,
  ts timestamp null,
  ts6 timestamp(6) null,
  ti time,
  ti6 time(6),
  ti_long time(6),
  c char(5),
  v varchar(20),
  l1 varchar(9) character set latin1,
  gb varchar(9) character set gbk,
  tx longtext,
  tx_long longtext,
  tx_nul text,
  e enum('a','b''c',''),
  st set('x','y'),
  j json,
  bi binary(3),
  vb varbinary(9),
  bl longblob,
  g geometry,
  pt point
);
insert into truth (id) values (1), (2), (3), (4);
update truth set t1 = -128 where id = 1;
update truth set t1 = 127 where id = 2;
update truth set ut = 0 where id = 1;
update truth set ut = 255 where id = 2;
update truth set s = -32768 where id = 1;
update truth set s = 32767 where id = 2;
update truth set us = 65535 where id = 1;
update truth set m = -8388608 where id = 1;
update truth set m = 8388607 where id = 2;
update truth set i = -2147483648 where id = 1;
update truth set i = 2147483647 where id = 2;
update truth set ui = 4294967295 where id = 1;
update truth set b = -9223372036854775808 where id = 1;
update truth set b = 9223372036854775807 where id = 2;
update truth set ub = 0 where id = 1;
update truth set ub = 18446744073709551615 where id = 2;
update truth set f = -1.5 where id = 1;
update truth set f = 3.4028234e38 where id = 2;
update truth set f = 0.1 where id = 3;
update truth set d = -1.7976931348623157e308 where id = 1;
update truth set d = 2.2250738585072014e-308 where id = 2;
update truth set d = 0.1 where id = 3;
update truth set n = -99999999.99 where id = 1;
update truth set n = 0.10 where id = 2;
update truth set n65 = -99999999999999999999999999999999999.999999999999999999999999999999 where id = 1;
update truth set n65 = 0.5 where id = 2;
update truth set b1 = b'0' where id = 1;
update truth set b1 = b'1' where id = 2;
update truth set b9 = b'0' where id = 1;
update truth set b9 = b'111111111' where id = 2;
update truth set b64 = b'0' where id = 1;
update truth set b64 = b'1111111111111111111111111111111111111111111111111111111111111111' where id = 2;
update truth set y = 1901 where id = 1;
update truth set y = 2155 where id = 2;
update truth set da = '1000-01-01' where id = 1;
update truth set da = '9999-12-31' where id = 2;
update truth set da_zero = '0000-00-00' where id = 1;
update truth set da_part = '2024-02-00' where id = 1;
update truth set dt = '1000-01-01 00:00:00' where id = 1;
update truth set dt = '9999-12-31 23:59:59' where id = 2;
update truth set dt6 = '1000-01-01 00:00:00.000001' where id = 1;
update truth set dt6 = '9999-12-31 23:59:59.999999' where id = 2;
update truth set dt_zero = '0000-00-00 00:00:00' where id = 1;
update truth set ts = '1970-01-01 00:00:01' where id = 1;
update truth set ts = '2038-01-19 03:14:07' where id = 2;
update truth set ts6 = '1970-01-01 00:00:01.000001' where id = 1;
update truth set ts6 = '2038-01-19 03:14:07.999999' where id = 2;
update truth set ti = '00:00:00' where id = 1;
update truth set ti = '23:59:59' where id = 2;
update truth set ti6 = '00:00:00.000001' where id = 1;
update truth set ti6 = '23:59:59.999999' where id = 2;
update truth set ti_long = '838:59:59' where id = 1;
update truth set ti_long = '-00:00:00.000001' where id = 2;
update truth set c = '' where id = 1;
update truth set c = 'a b' where id = 2;
update truth set c = '😀' where id = 3;
update truth set v = '' where id = 1;
update truth set v = 'it''s "quoted"' where id = 2;
update truth set v = 'trailing  ' where id = 3;
update truth set l1 = 'é' where id = 1;
update truth set l1 = '€' where id = 2;
update truth set gb = '中文' where id = 1;
update truth set tx = 'two\nlines\r\n\ttab\\' where id = 1;
update truth set tx = 'NULL' where id = 2;
update truth set tx = '007' where id = 3;
update truth set tx_long = repeat('雪', 350000) where id = 1;
update truth set tx_nul = 'a\0b' where id = 1;
update truth set e = 'a' where id = 1;
update truth set e = 'b''c' where id = 2;
update truth set e = '' where id = 3;
update truth set st = '' where id = 1;
update truth set st = 'x,y' where id = 2;
update truth set j = '{"b": 1, "a": [null, true, "ä"]}' where id = 1;
update truth set j = '"x"' where id = 2;
update truth set bi = x'000000' where id = 1;
update truth set bi = x'ffffff' where id = 2;
update truth set vb = x'' where id = 1;
update truth set vb = x'0102' where id = 2;
update truth set bl = x'00ff' where id = 1;
update truth set bl = repeat(x'00', 300) where id = 2;
update truth set g = ST_GeomFromText('LINESTRING(0 0, 1 2)') where id = 1;
update truth set pt = ST_GeomFromText('POINT(1 2)') where id = 1;
