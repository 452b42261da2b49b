/**
 * SQL that runs on a connection that may write is text of the program, with bound parameters: nothing is put together from
 * values. What people ask (`query`, `trials --where`) goes another way: the gate, a process of its own, read-only.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");

/** What is put into SQL although it is no constant. */
const KNOWN: readonly string[] = [
  // As many `(?, …)` as there are rows.
  "coordinator/store/statements.ts values",
  // A migration: a file of the program, and its place in the list.
  "coordinator/store/migrate.ts sql",
  "coordinator/store/migrate.ts version",
  // `quick_check` of a table out of a list.
  "coordinator/store/content.ts check",
  // The query itself, behind the gate.
  "coordinator/store/query-child.ts request.sql",
];

const isConstant = (text: string): boolean => /^[A-Z][A-Z0-9_]*$/.test(text) || /^[0-9 <*+]+$/.test(text);

/** What is put into the SQL of a call, beside constants. */
function splicedInto(sql: ts.Expression, source: ts.SourceFile): readonly string[] {
  if (ts.isStringLiteralLike(sql)) return [];
  if (ts.isTemplateExpression(sql)) return sql.templateSpans.map(({ expression }) => expression.getText(source));
  if (ts.isIdentifier(sql)) {
    const texts = declared(sql.text, source);
    if (texts.length > 0) return texts.flatMap((text) => splicedInto(text, source));
  }
  return [sql.getText(source)];
}

/** What constants of that name in the file are set to. */
function declared(name: string, source: ts.SourceFile): readonly ts.Expression[] {
  const found: ts.Expression[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && node.name.getText(source) === name && node.initializer !== undefined)
      found.push(node.initializer);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found.filter((text) => ts.isStringLiteralLike(text) || ts.isTemplateExpression(text));
}

/** Functions of the file that take SQL: those whose first parameter is called so. */
function takers(source: ts.SourceFile): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && node.parameters[0]?.name.getText(source) === "sql") {
      const named = ts.isVariableDeclaration(node.parent) ? node.parent : node;
      if (named.name !== undefined) names.add(named.name.getText(source));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

function isSql({ expression }: ts.CallExpression, names: ReadonlySet<string>): boolean {
  if (ts.isIdentifier(expression)) return names.has(expression.text);
  if (!ts.isPropertyAccessExpression(expression)) return false;
  const { name, expression: of } = expression;
  // `exec` of a database, not of a pattern.
  return ["prepare", "pragma"].includes(name.text) || (name.text === "exec" && /(^|#|\.)db$/.test(of.getText()));
}

/** `FILE EXPRESSION` of all that is put into SQL and is no constant. */
function spliced(): readonly string[] {
  const found: string[] = [];
  for (const folder of ["coordinator/store", "coordinator/shell", "worker"]) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".ts")) continue;
      const file = `${folder}/${name}`;
      const source = ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.Latest, true);
      const names = takers(source);
      const visit = (node: ts.Node): void => {
        const [sql] = ts.isCallExpression(node) && isSql(node, names) ? node.arguments : [];
        const texts = sql === undefined ? [] : splicedInto(sql, source);
        // What a function is given is looked at where it is called.
        for (const text of texts)
          if (!isConstant(text) && !(text === "sql" && names.size > 0)) found.push(`${file} ${text}`);
        ts.forEachChild(node, visit);
      };
      visit(source);
    }
  }
  return found;
}

it("is made of constants alone", () => {
  const found = spliced();
  // It does find them.
  expect(found).toContain("coordinator/store/query-child.ts request.sql");
  expect(found.filter((one) => !KNOWN.includes(one))).toEqual([]);
});
