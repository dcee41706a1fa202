-- Types of extensions, arrays of them, domains and a range over them, with texts that other forms would take apart; and addresses,
-- which a cast to text shows otherwise than their output function.
create extension hstore; create extension citext; create extension ltree; create extension cube; create extension isn;
create extension seg; create extension intarray; create extension lo; create extension earthdistance;
create domain word as citext check (value <> '');
create domain facts as hstore;
create domain words as citext[];
create domain host as inet;
create type span as range (subtype = citext);
create table s (
  id int primary key, h hstore, c citext not null, l ltree, q lquery, x ltxtquery, k cube, i isbn13, e ean13, g seg, n query_int, o lo,
  place earth, w word, f facts, r span, ha hstore[], ca citext[], la ltree[], ka cube[], ia isbn13[], ga seg[], ws words,
  a inet, ah host
);
insert into s values
  (1, hstore('a b', E'c,"d"\\ =>''\t\n\r') || hstore('NULL', 'NULL') || hstore('n', null) || hstore('', '') || hstore('é雪', E'\\N'),
    'MiXed', 'Top.Science.Astronomy', 'Top.*{0,2}.sci*@%|x.!y', 'Science & !(a | b*)', '(1,-2.5),(3,1e-300)', '978-0-393-04002-9',
    '978-0-393-04002-9', '1.50 .. 2.250', '1&(2|!3)', 4294967295, ll_to_earth(52.5, 13.4), 'Word', 'k=>"v v"', '[a,B)',
    array[hstore('a"b', E'\\{},'), null, ''::hstore], array['A,b', null, 'NULL', '', E'q"\\ \n'], array['a.b'::ltree, null, ''],
    array['(1)'::cube, null, '(0,0),(1,1)'], array['978-0-393-04002-9'::isbn13, null], array['<1.0'::seg, null, '~5 .. >7'], '{X,x,NULL}', '::1', '10.0.0.1'),
  (2, '', E'a\tb\nc\\d"e''é雪\\N', '', '*', 'x', '(0)', '978-3-16-148410-0', '400-638133393-1', '5', '7', 0, null, E'\\N', '', 'empty',
    '{}', '{}', '{}', '{}', '{}', '{}', '{}', '10.1.2.3/8', '::/0'),
  (3, null, '', null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
  (4, E'"\\\\N"=>1', E'\\N', 'a', 'a', 'a', '(0.1,0.2,0.30000000000000004)', '978-0-393-04002-9', '978-0-393-04002-9', '0.1e-10', '1', 1,
    null, ' ', null, '(,)', '[0:1]={a=>1,b=>2}', '{{A,b},{c,D}}', null, null, null, null, null, null, null);
insert into s (id, c, h) select i, 'Name ' || i, hstore('i', repeat('x', 600)) from generate_series(5, 30000) i;
analyze s;
