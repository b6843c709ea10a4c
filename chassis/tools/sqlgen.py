#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns .sql files into a table of statements: queries.h (enum of indexes) and queries.c (struct ch_query rows).

It exists so that no SQL stands in C and a wrong statement fails the build with file:line, not a request. It must never
guess: what it does not understand is an error.

A file is a list of

    -- name: order_find :read
    -- Comment lines; they become the enum value's comment.
    SELECT ... WHERE order_id = $1::uuid;

`:read` may run on the shared pipelined connection, `:write` takes an exclusive one. A statement ends with the `;` at the
end of a line. Every parameter is cast where it stands ($1::uuid), because values travel in binary format.

Use from Meson (services/<name>/meson.build):

    queries = custom_target('order-manager-queries',
      output: ['queries.h', 'queries.c'],
      input: ['sql/order.sql', 'sql/claim.sql'],
      command: [python, meson.project_source_root() / 'chassis/tools/sqlgen.py', '@OUTPUT0@', '@OUTPUT1@', '@INPUT@'])
    executable('order-manager', 'main.c', queries, ...)

A second table in the same program takes other names: `--table outbox_queries --prefix OUTBOX_Q_` before the outputs.
"""
import argparse
import os
import re
import sys

HEAD = re.compile(r'^--\s*name:\s*(\S+)\s+:(\S+)\s*$')
NAME = re.compile(r'^[a-z][a-z0-9_]{0,61}$')  # PostgreSQL cuts names at 63 bytes
PARAM = re.compile(r'\$(\d+)(::)?')
PARAMS_MAX = 32  # CH_PG_ARGS_MAX
TAKEN = ('begin', 'commit', 'rollback', 'setup')  # the chassis's own
READS = ('SELECT', 'WITH', 'VALUES')
CHANGES = re.compile(r'\b(INSERT\s+INTO|UPDATE\s+\w|DELETE\s+FROM|MERGE\s+INTO|FOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE)|FOR\s+KEY\s+SHARE)', re.I)


class Fault(Exception):
    def __init__(self, path, line, text):
        super().__init__(f'{path}:{line}: {text}')


class Query:
    def __init__(self, path, line, name, is_write):
        self.path, self.line, self.name, self.is_write = path, line, name, is_write
        self.comment, self.sql, self.is_done = [], [], False

    def fault(self, text):
        return Fault(self.path, self.line, f'{self.name}: {text}')


def plain(sql):
    """The statement without comments and string literals: what the checks look at."""
    return re.sub(r"--[^\n]*|'(?:[^']|'')*'", ' ', sql)


def read_file(path):
    queries = []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            read_line(path, number, line.rstrip(), queries)
    if queries and not queries[-1].is_done:
        raise queries[-1].fault("has no ';' at the end of a line")
    return queries


def read_line(path, number, line, queries):
    query = queries[-1] if queries else None
    is_open = query is not None and not query.is_done
    stripped = line.strip()
    if stripped.startswith('--') and 'name:' in stripped.split(maxsplit=2)[1:2]:
        if is_open:
            raise query.fault("has no ';' at the end of a line")
        queries.append(read_head(path, number, stripped))
    elif is_open and stripped.startswith('--') and not query.sql:
        query.comment.append(stripped[2:].strip())
    elif is_open and (stripped or query.sql):
        add_sql(query, line)
    elif stripped and not stripped.startswith('--'):
        raise Fault(path, number, "SQL outside a statement: '-- name: <name> :read|:write' is missing above it")


def add_sql(query, line):
    ends = line.endswith(';') and plain(line).endswith(';')  # not inside a comment
    query.sql.append(line[:-1].rstrip() if ends else line)
    query.is_done = ends
    if ends:
        check(query)


def read_head(path, number, line):
    match = HEAD.match(line)
    if not match:
        raise Fault(path, number, "expected '-- name: <name> :read' or ':write'")
    name, kind = match.groups()
    if not NAME.match(name):
        raise Fault(path, number, f"'{name}': a name is lower case letters, digits and '_', at most 62")
    if name in TAKEN:
        raise Fault(path, number, f"'{name}': the chassis has a statement of this name")
    if kind not in ('read', 'write'):
        raise Fault(path, number, f"':{kind}': a statement is :read or :write")
    return Query(path, number, name, kind == 'write')


def check(query):
    sql = plain('\n'.join(query.sql))
    words = sql.split()
    if not words:
        raise query.fault('has no statement')
    if ';' in sql:
        raise query.fault("two statements: a ';' stands before the end")
    numbers = set()
    for match in PARAM.finditer(sql):
        if not match.group(2):
            raise query.fault(f'${match.group(1)} needs a cast where it stands, for example ${match.group(1)}::uuid')
        numbers.add(int(match.group(1)))
    if numbers != set(range(1, len(numbers) + 1)):
        raise query.fault('parameters are not numbered $1, $2, ... without a gap')
    if len(numbers) > PARAMS_MAX:
        raise query.fault(f'more than {PARAMS_MAX} parameters')
    if not query.is_write and (words[0].upper().lstrip('(') not in READS or CHANGES.search(sql)):
        raise query.fault('changes or locks rows: make it :write')


class Hunk:
    """A deliberate bug of a mutants.txt: `old` stands once in the statement and is replaced by `new`.

        mutant NO_ROW_LOCK skus_lock_batch
        - FOR NO KEY UPDATE
        + FOR KEY SHARE
    """
    def __init__(self, path, line, mutant, name):
        self.path, self.line, self.mutant, self.name = path, line, mutant, name
        self.old, self.new = [], []


def read_hunks(path):
    hunks = []
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            line, words = line.rstrip('\n'), line.split()
            if not words or words[0].startswith('#'):
                continue
            if words[0] == 'mutant' and len(words) == 3:
                hunks.append(Hunk(path, number, words[1], words[2]))
            elif hunks and line[:2] in ('- ', '+ '):
                (hunks[-1].old if line[0] == '-' else hunks[-1].new).append(line[2:])
            else:
                raise Fault(path, number, "expected 'mutant NAME statement', '- old text' or '+ new text'")
    return hunks


def mutate(queries, hunks, mutant):
    """Replaces what this mutant replaces in these statements; a statement of another table is not ours."""
    for hunk in hunks:
        for query in queries:
            if hunk.mutant != mutant or hunk.name != query.name:
                continue
            text, old = '\n'.join(query.sql), '\n'.join(hunk.old)
            if not old or text.count(old) != 1:
                raise Fault(hunk.path, hunk.line, f'its old text stands {text.count(old) if old else 0} times in {query.name}, not once')
            query.sql = text.replace(old, '\n'.join(hunk.new)).split('\n')
            check(query)


def c_string(text):
    out = []
    for char in text.encode('utf-8'):
        if char in (0x22, 0x5C):
            out.append('\\' + chr(char))
        elif 0x20 <= char < 0x7F:
            out.append(chr(char))
        else:
            out.append(f'\\{char:03o}')
    return '"' + ''.join(out) + '"'


def c_comment(lines):
    return ' '.join(line for line in lines if line).replace('*/', '* /').replace('/*', '/ *')


def header(queries, options, source):
    guard = re.sub(r'\W', '_', options.prefix + os.path.basename(options.header)).upper()
    rows = []
    for query in queries:
        comment = c_comment(query.comment)
        rows.append(f'    {options.prefix}{query.name.upper()},' + (f' /**< {comment} */' if comment else ''))
    return '\n'.join([
        '// SPDX-License-Identifier: Apache-2.0',
        f'/* Made by sqlgen.py from {source}: do not edit. Indexes of the statements in {options.table}. */',
        f'#ifndef {guard}', f'#define {guard}', '', '#include "ch/pg.h"', '',
        'enum {', *rows, f'    {options.prefix}COUNT', '};', '',
        f'extern const struct ch_query {options.table}[];', '', '#endif', ''])


def source_file(queries, options, source):
    rows = []
    for query in queries:
        text = '\n            '.join(c_string(line + '\n') for line in query.sql[:-1]) if len(query.sql) > 1 else ''
        last = c_string(query.sql[-1])
        sql = f'{text}\n            {last}' if text else last
        rows.append(f'    [{options.prefix}{query.name.upper()}] =\n        {{"{query.name}",\n            {sql.replace(chr(92) + "012", chr(92) + "n")},'
                    f'\n            {"true" if query.is_write else "false"}}},')
    return '\n'.join([
        '// SPDX-License-Identifier: Apache-2.0',
        f'/* Made by sqlgen.py from {source}: do not edit. */',
        f'#include "{os.path.basename(options.header)}"', '',
        f'const struct ch_query {options.table}[] = {{', *rows,
        f'    [{options.prefix}COUNT] = {{0}},', '};', ''])


def main():
    parser = argparse.ArgumentParser(description='Makes queries.h and queries.c of .sql files.')
    parser.add_argument('--table', default='queries', help='name of the table in C')
    parser.add_argument('--prefix', default='Q_', help='prefix of the enum values')
    parser.add_argument('--mutant', nargs=2, metavar=('NAME', 'FILE'), help='a deliberate bug, and the mutants.txt it stands in')
    parser.add_argument('header')
    parser.add_argument('source')
    parser.add_argument('files', nargs='+')
    options = parser.parse_args()
    queries, seen = [], {}
    try:
        for path in options.files:
            for query in read_file(path):
                if query.name in seen:
                    raise query.fault(f'the name is taken already: {seen[query.name]}')
                seen[query.name] = f'{path}:{query.line}'
                queries.append(query)
        if options.mutant:
            mutate(queries, read_hunks(options.mutant[1]), options.mutant[0])
    except (Fault, OSError, UnicodeDecodeError) as fault:
        print(fault, file=sys.stderr)
        return 1
    names = ', '.join(os.path.basename(path) for path in options.files)
    with open(options.header, 'w', encoding='utf-8') as file:
        file.write(header(queries, options, names))
    with open(options.source, 'w', encoding='utf-8') as file:
        file.write(source_file(queries, options, names))
    return 0


if __name__ == '__main__':
    sys.exit(main())
