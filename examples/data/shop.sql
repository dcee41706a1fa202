-- A small shop, for PostgreSQL as well as MySQL: orders, who placed them, and a table to be filled.
create table orders (id int primary key, customer varchar(20) not null, placed date, amount decimal(10, 2) not null);
insert into orders values
  (1, 'Ada', '2024-02-28', 19.90),
  (2, 'Grace', '2024-02-29', 5.00),
  (3, 'Hopper, G.', '2024-03-01', 120.50),
  (4, 'Edsger', null, 7.25);
create table customers (name varchar(20) primary key, city varchar(20) not null);
insert into customers values
  ('Ada', 'London'),
  ('Edsger', 'Rotterdam'),
  ('Grace', 'New York'),
  ('Hopper, G.', 'New York');
create table loaded (id int primary key, customer varchar(20) not null, placed date, amount decimal(10, 2) not null);
