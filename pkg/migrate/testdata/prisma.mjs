// Drives Prisma's schema engine, compiled to WebAssembly, as the CLI would:
//   node prisma.mjs apply|status|applied|rolledback FOLDER [MIGRATION]
// with the database in DATABASE_URL; prints one JSON object. Or
//   node prisma.mjs serve
// which reads one JSON object a line ({url, command, folder, migration}) and
// answers with one, each on a connection and an engine of its own. Or
//   node prisma.mjs held
// which says "ready" when it is, reads one such line and is then as the first.
//
// The driver adapter is mended in two places to behave as the native engine
// does: three type numbers are passed off as text, and a script goes to the
// server whole instead of cut at its semicolons. One connection, so that the
// session's lock sits on the one that works.
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'

const engineDir = path.dirname(createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm'))
const glue = await import(path.join(engineDir, 'schema_engine_bg.js'))
const wasm = await WebAssembly.instantiate(fs.readFileSync(path.join(engineDir, 'schema_engine_bg.wasm')), { './schema_engine_bg.js': glue })
glue.__wbg_set_wasm(wasm.instance.exports)
wasm.instance.exports.__wbindgen_start()

const asText = { 18: 25, 19: 25, 1003: 1009 }
const [, , mode, folder, migration] = process.argv
const read = (file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : null)

async function run({ url, command, folder, migration: migrationName }) {
  const open = []
  const factory = new PrismaPg({ connectionString: url, max: 1 })
  for (const method of ['connect', 'connectToShadowDb']) {
    const original = factory[method].bind(factory)
    factory[method] = async () => {
      const connection = await original()
      open.push(connection)
      const perform = connection.performIO.bind(connection)
      connection.performIO = async (query) => {
        const result = await perform(query)
        for (const field of result.fields ?? []) field.dataTypeID = asText[field.dataTypeID] ?? field.dataTypeID
        return result
      }
      connection.executeScript = async (script) => {
        try { await connection.client.query(script) } catch (error) { connection.onError(error) }
      }
      return connection
    }
  }
  const migrationDirectories = fs.readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map((name) => {
      const text = read(path.join(folder, name, 'migration.sql'))
      const content = text === null ? { tag: 'error', value: 'missing' } : { tag: 'ok', value: text }
      return { path: name, migrationFile: { path: 'migration.sql', content } }
    })
  const migrationsList = {
    baseDir: folder,
    lockfile: { path: 'migration_lock.toml', content: read(path.join(folder, 'migration_lock.toml')) },
    shadowDbInitScript: '',
    migrationDirectories,
  }
  const filters = { externalTables: [], externalEnums: [] }
  try {
    const engine = await glue.SchemaEngine.new({ datamodels: undefined }, () => {}, bindMigrationAwareSqlAdapterFactory(factory))
    const commands = {
      apply: () => engine.applyMigrations({ migrationsList, filters }),
      status: () => engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters }),
      applied: () => engine.markMigrationApplied({ migrationName, migrationsList }),
      rolledback: () => engine.markMigrationRolledBack({ migrationName }),
    }
    return { ok: (await commands[command]()) ?? {} }
  } catch (error) {
    return { error: { code: error.code ?? '', message: String(error.message) } }
  } finally {
    // The end of the process does this otherwise, and with it gives the lock back.
    if (mode === 'serve') for (const connection of open) await connection.client.end().catch(() => {})
  }
}

if (mode === 'serve') {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await run(JSON.parse(line))))
  }
} else {
  let question = { url: process.env.DATABASE_URL, command: mode, folder, migration }
  if (mode === 'held') {
    console.log('ready')
    for await (const line of readline.createInterface({ input: process.stdin })) {
      question = JSON.parse(line)
      break
    }
  }
  const answer = await run(question)
  console.log(JSON.stringify(answer))
  process.exit(answer.error ? 1 : 0)
}
