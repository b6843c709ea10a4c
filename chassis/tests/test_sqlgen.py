#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sqlgen.py: what it makes compiles and says what the .sql file says; what it refuses is named by file and line."""
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SQLGEN = os.path.join(HERE, '..', 'tools', 'sqlgen.py')
INCLUDE = os.path.join(HERE, '..', 'include')

GOOD = '''-- What the file is about; no statement yet.

-- name: order_find :read
-- One order,
-- by its id.
SELECT order_id, note -- trailing;
FROM orders
WHERE order_id = $1::uuid AND note <> 'a;$2"\\한';

-- name: order_insert :write
INSERT INTO orders (order_id, note)
SELECT * FROM unnest($1::uuid[], $2::text[]);
'''

# name, text, line that must be named, words that must be said
BAD = (
    ('no kind', '-- name: a\nSELECT 1;\n', 1, 'expected'),
    ('other kind', '-- name: a :one\nSELECT 1;\n', 1, ':read or :write'),
    ('bad name', '-- name: A-b :read\nSELECT 1;\n', 1, 'lower case'),
    ('long name', f'-- name: {"a" * 63} :read\nSELECT 1;\n', 1, 'at most 62'),
    ('own name', '-- name: commit :write\nSELECT 1;\n', 1, 'chassis'),
    ('twice', '-- name: a :read\nSELECT 1;\n-- name: a :read\nSELECT 2;\n', 3, 'taken'),
    ('no end', '\n-- name: a :read\nSELECT 1\n', 2, "';'"),
    ('no end before the next', '-- name: a :read\nSELECT 1\n-- name: b :read\nSELECT 2;\n', 1, "';'"),
    ('no statement', '-- name: a :read\n;\n', 1, 'no statement'),
    ('two statements', '-- name: a :write\nDELETE FROM t; SELECT 1;\n', 1, 'two statements'),
    ('outside', 'SELECT 1;\n', 1, 'outside'),
    ('after the end', '-- name: a :read\nSELECT 1;\nSELECT 2;\n', 3, 'outside'),
    ('no cast', '-- name: a :read\nSELECT a FROM t WHERE b = $1;\n', 1, 'cast'),
    ('second use without cast', '-- name: a :read\nSELECT $1::int WHERE 1 = $1;\n', 1, 'cast'),
    ('gap', '-- name: a :read\nSELECT $1::int, $3::int;\n', 1, 'gap'),
    ('too many', '-- name: a :read\nSELECT ' + ', '.join(f'${i}::int' for i in range(1, 34)) + ';\n', 1, '32'),
    ('read that writes', '-- name: a :read\nDELETE FROM t;\n', 1, ':write'),
    ('read that writes in a with', '-- name: a :read\nWITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x;\n', 1, ':write'),
    ('read that locks', '-- name: a :read\nSELECT a FROM t FOR UPDATE;\n', 1, ':write'),
)


class Sqlgen(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def run_on(self, text, *options):
        with open(self.path('in.sql'), 'w', encoding='utf-8') as file:
            file.write(text)
        return subprocess.run([sys.executable, SQLGEN, *options, self.path('queries.h'), self.path('queries.c'), self.path('in.sql')],
                              capture_output=True, text=True, check=False)

    def test_sqlgen__replaces_what_a_mutant_replaces(self):
        hunks = self.path('mutants.txt')
        with open(hunks, 'w', encoding='utf-8') as file:
            file.write('# why\n\nmutant BAD order_find\n- WHERE order_id = $1::uuid AND\n+ WHERE $1::uuid IS NOT NULL AND\n\nmutant LOST order_find\n- nowhere\n+ x\n')
        sql = self.path('good.sql')
        with open(sql, 'w', encoding='utf-8') as file:
            file.write(GOOD)

        def made(mutant):
            out = self.path('out.c')
            run = subprocess.run([sys.executable, SQLGEN, '--mutant', mutant, hunks, self.path('out.h'), out, sql], capture_output=True, text=True)
            return run, open(out, encoding='utf-8').read() if run.returncode == 0 else ''

        run, text = made('BAD')
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn('WHERE $1::uuid IS NOT NULL AND note', text)
        self.assertNotIn('WHERE order_id', text)
        self.assertIn('WHERE order_id', made('OTHER')[1])
        run, _ = made('LOST')
        self.assertEqual(run.returncode, 1)
        self.assertIn('mutants.txt:7: its old text stands 0 times in order_find', run.stderr)

    def test_good_file_becomes_a_table(self):
        done = self.run_on(GOOD)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        with open(self.path('main.c'), 'w', encoding='utf-8') as file:
            file.write('#include "queries.h"\n#include <stdio.h>\n'
                       'int main(void)\n{\n    for (int i = 0; i < Q_COUNT; i++)\n'
                       '        printf("%s|%d|%s\\n--\\n", queries[i].name, queries[i].is_write, queries[i].sql);\n'
                       '    return queries[Q_COUNT].name || Q_ORDER_FIND != 0 || Q_ORDER_INSERT != 1;\n}\n')
        subprocess.run(['cc', '-Wall', '-Wextra', '-Werror', '-I', INCLUDE, '-I', '/usr/include/postgresql',
                        '-o', self.path('main'), self.path('main.c'), self.path('queries.c')], check=True)
        out = subprocess.run([self.path('main')], capture_output=True, text=True, check=True).stdout
        self.assertEqual(out, 'order_find|0|SELECT order_id, note -- trailing;\nFROM orders\n'
                              'WHERE order_id = $1::uuid AND note <> \'a;$2"\\한\'\n--\n'
                              'order_insert|1|INSERT INTO orders (order_id, note)\nSELECT * FROM unnest($1::uuid[], $2::text[])\n--\n')
        with open(self.path('queries.h'), encoding='utf-8') as file:
            self.assertIn('/**< One order, by its id. */', file.read())

    def test_other_names_for_a_second_table(self):
        done = self.run_on(GOOD, '--table', 'outbox_queries', '--prefix', 'OUTBOX_Q_')
        self.assertEqual(done.returncode, 0)
        with open(self.path('queries.h'), encoding='utf-8') as file:
            text = file.read()
        self.assertIn('OUTBOX_Q_ORDER_FIND,', text)
        self.assertIn('extern const struct ch_query outbox_queries[];', text)

    def test_bad_files_are_refused_by_line(self):
        for name, text, line, words in BAD:
            with self.subTest(name):
                done = self.run_on(text)
                self.assertEqual(done.returncode, 1)
                self.assertIn(f'in.sql:{line}: ', done.stderr)
                self.assertIn(words, done.stderr)
                self.assertFalse(os.path.exists(self.path('queries.h')))


if __name__ == '__main__':
    unittest.main()
