package migrate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/migrate-conformance.md")

// conformance is one case: what it is, what Prisma was seen to do, where we
// differ, the tests that prove ours, and those that hold real Prisma to the
// table.
type conformance struct {
	id     int
	what   string
	prisma string
	differ string // "" is the same
	tests  []string
	peer   []string // beside the rows of peerCases that name the case
	noPeer string   // why there is none
}

var conformanceTable = []conformance{
	{id: 1, what: "fresh deploy", prisma: "applied: 1 step, finished", tests: []string{"TestMC01FreshDeploy"}},
	{id: 2, what: "deploy again", prisma: "`No pending migrations to apply.`", tests: []string{"TestMC02SecondDeployFindsNothing"}},
	{id: 3, what: "empty folder, empty database", prisma: "the history table is made", tests: []string{"TestMC03EmptyFolderEmptyDatabase"}},
	{id: 4, what: "status in sync; empty folder with a history", prisma: "exit 0", tests: []string{"TestMC04StatusInSync"}},
	{id: 5, what: "status, one pending", prisma: "exit 1", tests: []string{"TestMC05StatusPending"}},
	{id: 6, what: "the second file fails", prisma: "P3018; nothing of it is kept, its row is open with the error", tests: []string{"TestMC06AFailingFileLeavesNothing"}},
	{id: 7, what: "deploy after that", prisma: "P3009", differ: "`--retry-failed` runs an atomic file of ours again", tests: []string{"TestMC07AFailedRowBlocks", "TestMC07ARowOfAnotherToolIsNotRetried"}},
	{id: 8, what: "status after that", prisma: "lists only the pending one", differ: "lists both", tests: []string{"TestMC08StatusShowsTheFailedOneToo"}},
	{id: 9, what: "`resolve --applied` of the failed one", prisma: "the failed row is rolled back, a new one has 0 steps and empty logs", tests: []string{"TestMC09AFailedMigrationIsMarkedApplied"}},
	{id: 10, what: "deploy after that", prisma: "goes on", tests: []string{"TestMC10DeployGoesOnAfterResolve"}},
	{id: 11, what: "`resolve --rolled-back` of the failed one", prisma: "its row is rolled back", tests: []string{"TestMC11MC13MC14AFailedMigrationIsMarkedRolledBackAndRunsFixed"}},
	{id: 12, what: "status after that", prisma: "does not mention it", differ: "exit 1, it will run again", tests: []string{"TestMC12StatusSaysThatARolledBackOneWillRunAgain"}},
	{id: 13, what: "the file mended, deploy", prisma: "a new row with the new checksum", tests: []string{"TestMC13AFixedFileRunsAfterRolledBack"}},
	{id: 14, what: "`--rolled-back` again", prisma: "nothing changes, exit 0", tests: []string{"TestMC11MC13MC14AFailedMigrationIsMarkedRolledBackAndRunsFixed"}},
	{id: 15, what: "`--rolled-back` of an applied or unknown one", prisma: "P3012, P3011", tests: []string{"TestMC15WhatCannotBeMarkedRolledBack"}},
	{id: 16, what: "`--applied` of an applied or unknown one", prisma: "P3008, P3017", tests: []string{"TestMC16WhatCannotBeMarkedApplied"}},
	{id: 17, what: "`resolve` without a mark, with both, with an empty one", prisma: "exit 1", differ: "exit 2, and 1 with `--prisma-compat`", tests: []string{"TestMC17ResolveWantsOneKindOfMark"}, noPeer: "decided by Prisma's command line, not by its engine"},
	{id: 18, what: "an applied file was edited", prisma: "the engine names it, deploy and status say nothing", differ: "a warning; exit 1 with `--strict`", tests: []string{"TestMC18AnEditedFileIsReported"}},
	{id: 19, what: "only its line ends changed", prisma: "not edited", tests: []string{"TestMC19LineEndsAreNoEdit"}},
	{id: 20, what: "an applied folder is gone", prisma: "exit 0", differ: "and a note", tests: []string{"TestMC20ADeletedFolderIsNoted"}},
	{id: 21, what: "and a new one is there", prisma: "status: diverged; deploy applies it", tests: []string{"TestMC21DivergedHistories"}},
	{id: 22, what: "an older name is inserted later", prisma: "applied", differ: "and a note", tests: []string{"TestMC22AnOlderNameInsertedLaterIsAppliedWithANote"}},
	{id: 23, what: "tables and no history", prisma: "P3005, nothing is made", tests: []string{"TestMC23TablesWithoutAHistory"}},
	{id: 24, what: "only a view, an enum, a table elsewhere, `spatial_ref_sys`", prisma: "counts as empty", tests: []string{"TestMC24ThingsThatAreNoTablesDoNotCount"}},
	{id: 25, what: "only a partitioned table", prisma: "counts as empty", differ: "P3005", tests: []string{"TestMC25APartitionedTableCounts"}},
	{id: 26, what: "baseline by `resolve --applied`", prisma: "0 steps, empty logs; deploy goes on", tests: []string{"TestMC26ABaselineByHand", "TestMC26DeployAfterABaseline"}},
	{id: 27, what: "a file with its own `BEGIN … COMMIT` and more", prisma: "applied", tests: []string{"TestMC27AFileWithItsOwnTransaction"}},
	{id: 28, what: "the same, failing after the COMMIT", prisma: "open row; what was committed stays", tests: []string{"TestMC28AFileWithItsOwnTransactionThatFails"}},
	{id: 29, what: "`BEGIN` without `COMMIT`", prisma: "says success, keeps nothing, the row stays open", differ: "P3018 before anything is begun", tests: []string{"TestMC29BeginWithoutCommitIsRefused", "TestMC29ATransactionLeftOpenIsFailed"}},
	{id: 30, what: "one concurrent index", prisma: "applied, valid", tests: []string{"TestMC30OneConcurrentIndex"}},
	{id: 31, what: "two of them in a file", prisma: "25001, open row", differ: "25001 before anything is begun; `--split-concurrent` runs it", tests: []string{"TestMC31TwoConcurrentIndexesInAFile", "TestMC31ASplitFileRunsStatementByStatement"}},
	{id: 32, what: "a concurrent index while another tool waits in the lock", prisma: "40P01, invalid index, open row", differ: "the lock is given up and it is done again: valid", tests: []string{"TestMC32AConcurrentIndexWhileAnotherToolWaitsInsideTheLock"}, peer: []string{"TestTheToolsTakeTurns", "TestBothToolsAtOnceWithRandomKills"}},
	{id: 33, what: "functions and DO blocks", prisma: "applied", tests: []string{"TestMC33FunctionsAndDoBlocks"}},
	{id: 34, what: "a byte order mark", prisma: "42601, open row", differ: "it is not sent; the checksum has it", tests: []string{"TestMC34AByteOrderMarkIsNotSent"}},
	{id: 35, what: "Windows line ends", prisma: "checksum of the bytes as they are", tests: []string{"TestMC35WindowsLineEnds"}},
	{id: 36, what: "an empty file, one of comments", prisma: "applied", differ: "and a warning", tests: []string{"TestMC36EmptyFiles"}},
	{id: 37, what: "a folder without a file", prisma: "P3015 after the ones before it", differ: "P3015 before any change", tests: []string{"TestMC37AFolderWithoutAFileStopsBeforeAnyChange"}},
	{id: 38, what: "stray files, a hidden folder", prisma: "ignored; applied", differ: "and a warning", tests: []string{"TestMC38StrayFilesAndHiddenFolders"}},
	{id: 39, what: "lock file: another provider, none, no file, no spaces", prisma: "P3019, P3019, fine, P3019", differ: "the last is fine", tests: []string{"TestMC39LockFiles"}},
	{id: 40, what: "the lock is held for more than 10 s", prisma: "P1002", differ: "at `--lock-timeout`, and says who has it; `--wait` waits", tests: []string{"TestMC40ALockHeldTooLong"}, peer: []string{"TestMC40PrismaGivesUpAfterTenSeconds"}},
	{id: 41, what: "two deploys at once", prisma: "one row a file", tests: []string{"TestMC41ManyDeploysAtOnce"}, peer: []string{"TestBothToolsAtOnceWithRandomKills"}},
	{id: 42, what: "SIGTERM during a script", prisma: "the script goes on and commits; open row, then P3009", differ: "143, rolled back, the next deploy needs nobody", tests: []string{"TestMC42ASignalCancelsAndLeavesNothing", "TestMC42ASignalDuringAConcurrentIndex", "TestMC42ASignalDuringAFileWithItsOwnTransactions", "TestMigrateEndsCleanlyOnSignals"}, peer: []string{"TestMC42PrismaLeavesItsScriptRunning"}},
	{id: 43, what: "`SET lock_timeout` in a file", prisma: "reaches the next file", differ: "does not", tests: []string{"TestMC43SettingsDoNotReachTheNextFile"}},
	{id: 44, what: "`SET search_path` in a file", prisma: "P1014, open row", differ: "applied", tests: []string{"TestMC44ASearchPathOfTheFilesOwn"}},
	{id: 45, what: "a `statement_timeout` of the file's own runs out", prisma: "57014, open row", tests: []string{"TestMC45AStatementTimeoutOfTheFilesOwn"}},
	{id: 46, what: "a role that may not create", prisma: "`permission denied for schema public`", differ: "and the GRANT that helps", tests: []string{"TestMC46ARoleThatMayNotCreate", "TestTablesOfOthersAreNamedBeforeTheFirstChange"}, peer: []string{"TestMC46PrismaWithoutTheRight"}},
	{id: 47, what: "a failed row whose folder is gone", prisma: "P3009; P3017; rolled back; goes on", tests: []string{"TestMC47AFailedMigrationWhoseFolderIsGone", "TestMC47AFailedRowWithoutItsFolderBlocksToo"}},
	{id: 48, what: "an open row beside an applied one", prisma: "P3009, status names it", tests: []string{"TestMC48AnUnfinishedRowBesideAnAppliedOne"}},
	{id: 49, what: "a pooler in transaction mode", prisma: "works once and leaves the lock on an idle session", differ: "LM0002 before locking; `--allow-pooler` locks per file", tests: []string{"TestMC49ATransactionPoolerIsRefused", "TestMC49ThroughAPoolerByConsent"}, peer: []string{"TestMC49PrismaOrphansTheLockBehindAPooler"}},
	{id: 50, what: "unreachable; no such database", prisma: "P1001, P1003 in words", differ: "exit 3, and 1 with `--prisma-compat`", tests: []string{"TestMC50EachBadInputIsOneSentence", "TestMigrateExitCodes", "TestAServerThatComesUpLateIsWaitedFor"}, peer: []string{"TestMC50PrismaWithoutADatabase"}},
	{id: 51, what: "names of mixed form", prisma: "by their bytes in the engine, by locale in some command lines", differ: "by their bytes; ORD001", tests: []string{"TestMC51NamesOrderByTheirBytes", "TestMC51TheOrderOfNamesIsJudged"}},
	{id: 52, what: "a concurrent index on a partitioned table", prisma: "0A000, open row", differ: "PART001 before it is begun; `--online-indexes` builds it", tests: []string{"TestMC52AConcurrentIndexOnAPartitionedTable", "TestMC52AnIndexOnAPartitionedTableIsBuiltForEachPartition"}},
	{id: 53, what: "`IF NOT EXISTS` over an invalid index", prisma: "applied, and the index stays invalid", differ: "IDX001; `--repair-invalid` rebuilds it", tests: []string{"TestMC53IfNotExistsOverAnInvalidIndex", "TestMC53AnInvalidIndexIsRepairedWhereThatIsAskedFor"}},
	{id: 54, what: "a database ahead of the files", prisma: "exit 0", differ: "and a warning", tests: []string{"TestMC54ADatabaseAheadOfTheSet"}},
}

// hazards are what operators of LiteLLM ran into, and what holds us to better.
var hazards = []struct {
	id    int
	what  string
	tests []string
}{
	{1, "several pods migrate at once: deadlock with a concurrent index", []string{"TestMC32AConcurrentIndexWhileAnotherToolWaitsInsideTheLock", "TestTheToolsTakeTurns", "TestBothToolsAtOnceWithRandomKills"}},
	{2, "waiters give up although the holder is healthy", []string{"TestMC40ALockHeldTooLong", "TestMC41ManyDeploysAtOnce"}},
	{3, "a pooler keeps the lock", []string{"TestMC49ATransactionPoolerIsRefused", "TestUnlockEndsOnlyAnIdleHolder", "TestMC49PrismaOrphansTheLockBehindAPooler"}},
	{4, "killed from outside after 60 s, then served with half a schema", []string{"TestMigrateExitCodes", "TestServeLeavesASchemaWithTablesAlone", "TestServeWithRequireSchemaWaitsForTheHead"}},
	{5, "a plain index on the spend logs blocks writes", []string{"TestPlanSaysWhatADeployWouldDo", "TestIndexOnlyFilesAreBuiltOnlineAtTheEnd", "TestIndexMigrationsAreRecordedAndPrintedWhereThatIsAskedFor"}},
	{6, "a concurrent index on partitioned spend logs", []string{"TestMC52AnIndexOnAPartitionedTableIsBuiltForEachPartition", "TestPartitionedSpendLogsGoThroughTheChain"}},
	{7, "`IF NOT EXISTS` takes an invalid index for one", []string{"TestMC53IfNotExistsOverAnInvalidIndex", "TestRepairIndexesRebuildsWhatIsInvalidAndLeavesOthersAlone"}},
	{8, "no history on a database made otherwise; read-only root", []string{"TestABaselineAndADeployEndInTheSchemaOfAFreshOne", "TestMigrateNeeds40MBAndNoWritableDisk"}},
	{9, "\"already exists\" taken for applied", []string{"TestWhatIsThereAlreadyIsNotTakenForApplied", "TestResolveVerifiesThatTheObjectsAreThere"}},
	{10, "schema forced back and forth; local baseline rows", []string{"TestMC20ADeletedFolderIsNoted", "TestDiffFindsWhatIsMissingAndNothingElse"}},
	{11, "rollback to an older release: the database is ahead", []string{"TestMC54ADatabaseAheadOfTheSet"}},
	{12, "missing rights are found in the middle", []string{"TestMC46ARoleThatMayNotCreate", "TestTablesOfOthersAreNamedBeforeTheFirstChange"}},
	{13, "a table is written anew under a lock", []string{"TestALargeTableIsNotWrittenAnewWithoutConsent"}},
	{14, "everything queues behind an ALTER that waits", []string{"TestATableThatIsLockedIsTriedAgainUnderTheSameRow", "TestALongStatementSaysWhoBlocksIt"}},
	{15, "a slow or broken start of the tool", []string{"TestMigrateNeeds40MBAndNoWritableDisk"}},
	{16, "cached plans of running pods", []string{"TestADeployTellsListeners"}},
	{17, "a database shared with other programs", []string{"TestPlanSaysWhatADeployWouldDo", "TestRepairIndexesRebuildsWhatIsInvalidAndLeavesOthersAlone"}},
	{18, "data changed inside a migration", []string{"TestEachStatementHasItsHazard"}},
	{19, "new schema, old pods", []string{"TestEachStatementHasItsHazard", "TestPlanSaysWhatADeployWouldDo"}},
}

// testNames are the test functions of this package and of cmd.
func testNames(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*_test.go", filepath.Join("..", "..", "cmd", "*_test.go")} {
		list, err := filepath.Glob(pattern)
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range list {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllStringSubmatch(string(text), -1) {
				found[m[1]] = strings.TrimPrefix(filepath.ToSlash(path), "../../")
			}
		}
	}
	return found
}

func TestTheConformancePageNamesTestsThatExist(t *testing.T) {
	exist := testNames(t)
	need := func(what string, names []string) {
		for _, n := range names {
			if exist[n] == "" {
				t.Errorf("%s: there is no %s", what, n)
			}
		}
	}
	withPeer := 0
	for i, c := range conformanceTable {
		if c.id != i+1 {
			t.Errorf("case %d is at place %d", c.id, i+1)
		}
		id := fmt.Sprintf("MC%02d", c.id)
		if len(c.tests) == 0 {
			t.Errorf("%s has no test", id)
		}
		need(id, c.tests)
		need(id, c.peer)
		peers := len(c.peer) + len(peersOf(id))
		if (peers == 0) != (c.noPeer != "") {
			t.Errorf("%s: %d tests with Prisma, and the reason for none is %q", id, peers, c.noPeer)
		}
		if peers > 0 {
			withPeer++
		}
	}
	if len(conformanceTable) != 54 {
		t.Errorf("%d cases, want 54", len(conformanceTable))
	}
	for i, h := range hazards {
		if h.id != i+1 || len(h.tests) == 0 {
			t.Errorf("hazard %d", h.id)
		}
		need(fmt.Sprintf("H%d", h.id), h.tests)
	}
	if len(hazards) != 19 {
		t.Errorf("%d hazards, want 19", len(hazards))
	}
	t.Logf("54 cases, %d of them also with real Prisma", withPeer)
}

// peersOf are the rows of peerCases that play a case.
func peersOf(id string) (names []string) {
	for _, c := range peerCases {
		if slices.Contains(strings.Fields(c.mc), id) {
			names = append(names, c.name)
		}
	}
	return names
}

// TestGeneratedConformancePage holds docs/migrate-conformance.md against the
// tables above.
func TestGeneratedConformancePage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# migrate: conformance with Prisma Migrate\n\n" +
		"What `prisma migrate` does in 54 cases, observed by running it, and the tests that hold `llmgw migrate` to it: against a real PostgreSQL, and with real Prisma (its schema engine under Node) on a database beside it. Where the column \"llmgw\" is empty the two do the same. `go test ./pkg/migrate -run Generated -update` writes this page; a test checks that every test named here exists. `make prisma` runs the ones with Prisma, `make sweep` the long ones.\n\n" +
		"| Case | What | Prisma | llmgw | Tests | With Prisma |\n|---|---|---|---|---|---|\n")
	for _, c := range conformanceTable {
		id := fmt.Sprintf("MC%02d", c.id)
		var peers []string
		for _, name := range peersOf(id) {
			peers = append(peers, "TestBothToolsDoTheSame: "+name)
		}
		peers = append(peers, c.peer...)
		if c.noPeer != "" {
			peers = []string{"none: " + c.noPeer}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", id, c.what, c.prisma, c.differ, strings.Join(c.tests, ", "), strings.Join(peers, ", "))
	}
	b.WriteString("\n## Hazards\n\nWhat operators of LiteLLM ran into with migrations, and the tests that it does not happen here.\n\n| Hazard | What | Tests |\n|---|---|---|\n")
	for _, h := range hazards {
		fmt.Fprintf(&b, "| H%d | %s | %s |\n", h.id, h.what, strings.Join(h.tests, ", "))
	}
	path := filepath.Join("..", "..", "docs", "migrate-conformance.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("docs/migrate-conformance.md is old (-page +tables); run make generate:\n%s", diff)
	}
}
