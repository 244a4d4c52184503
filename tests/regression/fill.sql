-- Rows for the tables that test_setup.sql loads from files, where those are not there: of the shape of Postgres' own,
-- which is that of the Wisconsin benchmark.
CREATE FUNCTION pg_temp.word(n int) RETURNS name LANGUAGE sql IMMUTABLE AS
$$ SELECT (chr(65 + n % 26) || chr(65 + n / 26 % 26) || chr(65 + n / 676 % 26) || 'AAA')::name $$;
CREATE FUNCTION pg_temp.wisconsin(rows int, step int) RETURNS SETOF onek LANGUAGE sql AS
$$ SELECT u, n, u % 2, u % 4, u % 10, u % 20, u % 100, u % 1000, u % 2000, u % 5000, u, u % 100 * 2, u % 100 * 2 + 1,
          pg_temp.word(u), pg_temp.word(n), (ARRAY['AAAAxx', 'HHHHxx', 'OOOOxx', 'VVVVxx'])[n % 4 + 1]::name
   FROM (SELECT n, (n * step + 147) % rows AS u FROM generate_series(0, rows - 1) n) numbers $$;
INSERT INTO onek SELECT * FROM pg_temp.wisconsin(1000, 377) WHERE NOT EXISTS (SELECT FROM onek);
INSERT INTO tenk1 SELECT * FROM pg_temp.wisconsin(10000, 3777) WHERE NOT EXISTS (SELECT FROM tenk1);
INSERT INTO onek2 SELECT * FROM onek WHERE NOT EXISTS (SELECT FROM onek2);
INSERT INTO tenk2 SELECT * FROM tenk1 WHERE NOT EXISTS (SELECT FROM tenk2);
INSERT INTO person SELECT * FROM (VALUES ('mike', 40, '(3.1,6.2)'::point), ('joe', 20, '(5.5,2.5)'), ('sally', 34, '(3.8,45.8)'))
    AS rows WHERE NOT EXISTS (SELECT FROM ONLY person);
INSERT INTO emp SELECT * FROM (VALUES ('sharon', 25, '(15,12)'::point, 1000, 'sam'), ('sam', 30, '(10,5)', 2000, 'bill'))
    AS rows WHERE NOT EXISTS (SELECT FROM ONLY emp);
INSERT INTO student SELECT * FROM (VALUES ('fred', 28, '(3.1,-1.5)'::point, 3.7), ('larry', 60, '(21.8,4.9)', 3.1))
    AS rows WHERE NOT EXISTS (SELECT FROM ONLY student);
INSERT INTO stud_emp SELECT * FROM (VALUES ('jeff', 23, '(8,7.7)'::point, 600, 'sharon', 3.5, NULL::int), ('cim', 30, '(10.5,4.7)', 400, NULL, 3.4, 7))
    AS rows WHERE NOT EXISTS (SELECT FROM stud_emp);
INSERT INTO road SELECT * FROM (VALUES ('I- 580', '[(-122,37.9),(-121.9,37.8)]'::path), ('State Hwy 92', '[(-122.1,37.6),(-122.2,37.5)]'))
    AS rows WHERE NOT EXISTS (SELECT FROM ONLY road);
VACUUM ANALYZE onek, onek2, tenk1, tenk2, person, emp, student, stud_emp, road;
