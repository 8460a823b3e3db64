package main

// row is one kind of fault: the names under which its tests print their proofs, the
// tests, and those that take the protection away.
type row struct {
	what     string
	names    []string
	tests    []string // one for each name
	controls []string
}

// rows of the table, in the order of an event's way.
var rows = []row{
	{"the engine is killed, again and again", []string{"crash_loop"}, []string{"TestFaultCrashLoop"},
		[]string{"TestOracleNoticesLossDoublingAndDisorder", "TestFaultControlAckBeforeAppendLoses", "TestFaultControlOutputsBeforePositionDouble"}},
	{"the engine is told to end, under load", []string{"sigterm_50", "restart_order", "second_sigterm", "drain_without_servers"},
		[]string{"TestFaultSIGTERMDrainsUnderLoad", "TestFaultRestartOrder", "TestFaultSecondSIGTERMStopsAtOnce", "TestFaultAwayServersDoNotHoldTheDrain"},
		[]string{"TestOracleNoticesLossDoublingAndDisorder", "TestFaultControlConsumerGroupBreaksOrder"}},
	{"another engine takes over; the first one wakes up", []string{"takeover", "stalled_owner", "newer_incarnation"},
		[]string{"TestFaultTakeover", "TestFaultStalledOwnerIsFencedOff", "TestFaultNewerIncarnationReplacesTheOlder"},
		[]string{"TestFaultTakeoverControl", "TestFenceControl"}},
	{"an engine is stopped in the middle of a transaction, past its lease", []string{"two_engines_one_lane"},
		[]string{"TestFaultStalledOwnerInTransaction"}, []string{"TestFaultTakeoverControl"}},
	{"the plugin is killed", []string{"plugin_killed", "killed_engine_leaves_no_plugin"},
		[]string{"TestFaultPluginKilledUnderLoad", "TestFaultKilledEngineLeavesNoPlugin"}, []string{"TestOracleNoticesLossDoublingAndDisorder"}},
	{"plugins that keep state: killed, taken over, run again, of another version", []string{"state/kills", "state/takeover", "state/replay", "state/versions"},
		[]string{"TestFaultStateSurvivesKills", "TestFaultStateGoesWithTheLane", "TestFaultReplayHasStatesOfItsOwn", "TestFaultStateThatCannotBeReadStopsTheStart"},
		[]string{"TestFaultControlStateInMemoryIsLost"}},
	{"the line to the broker breaks; messages come again", []string{"broker_connection_dropped", "redelivered_ids", "duplicate_publish"},
		[]string{"TestFaultBrokerConnectionDropped20Times", "TestFaultRedeliveredIDsGiveOneRow", "TestFaultDuplicatePublish"},
		[]string{"TestFaultControlDropsWithoutIdentityDouble"}},
	{"the broker ends a consumer: queue deleted, or its patience over", []string{"basic_cancel_no_phantom"},
		[]string{"TestFaultBasicCancelBringsNoPhantom"}, []string{"TestFaultControlStockConsumerMakesPhantoms"}},
	{"a message that was refused before, with headers of every kind", []string{"redelivery_headers"},
		[]string{"TestFaultRedeliveredHeadersKeepTheirTypes"}, []string{"TestFaultControlStockConsumerLoopsOnHeaders"}},
	{"Redis is killed and started again", []string{"redis_restarted"}, []string{"TestFaultRedisRestartedUnderLoad"},
		[]string{"TestFaultControlRedisWithoutFileStopsLoudly"}},
	{"Redis loses its power", []string{"power_loss_log"}, []string{"TestFaultPowerLossOfTheLog"}, []string{"TestFaultControlPowerLossWithEverysecLoses"}},
	{"Redis is a replica, loading, silent, or put back to an older copy",
		[]string{"redis_disaster/replica_strict", "redis_disaster/replica", "redis_disaster/loading", "redis_disaster/silent_line", "redis_disaster/older_copy", "redis_disaster/older_copy_late"},
		[]string{"TestFaultReplicaStopsStrict", "TestFaultReplicaIsWaitedForWithBestEffort", "TestFaultLoadingRedisIsWaitedFor", "TestFaultSilentLineToRedis", "TestFaultOlderCopyStopsTheEngine", "TestFaultOlderCopyFoundLate"},
		[]string{"TestFaultControlForeignTrimIsFound"}},
	{"MariaDB is there and does not do what it is asked",
		[]string{"mariadb_chaos/restarts", "mariadb_chaos/commit", "mariadb_chaos/deadlocks", "mariadb_chaos/connections", "mariadb_chaos/read_only", "mariadb_chaos/drift"},
		[]string{"TestFaultDatabaseRestartedUnderLoad", "TestFaultDatabaseCutAtCommit", "TestFaultDatabaseDeadlockStorm", "TestFaultDatabaseWithoutConnections", "TestFaultDatabaseReadOnly", "TestFaultDatabaseSchemaDrift"},
		[]string{"TestCommitLineCutsWhereItSays", "TestCrashControl", "TestFaultControlSinkWithoutPositionDoubles"}},
	{"MariaDB is away until there is no room for more", []string{"database_away_log_full", "database_away_redis_full"},
		[]string{"TestFaultDatabaseAwayUntilTheLogIsFull", "TestFaultDatabaseAwayUntilRedisIsFull"}, []string{"TestOracleNoticesLossDoublingAndDisorder"}},
	{"a disk is full", []string{"disk_full/mariadb", "disk_full/redis", "disk_full/rabbitmq"},
		[]string{"TestFaultDiskFullUnderMariaDB", "TestFaultDiskFullUnderRedis", "TestFaultDiskFullUnderRabbitMQ"},
		[]string{"TestFaultDiskIsFullAndHasRoomAgain"}},
	{"one bad row among many; dead letters are driven again", []string{"batch_bisect", "dead_letters_driven_again", "strict_order"},
		[]string{"TestFaultBatchBisect", "TestFaultDeadLettersDrivenAgainUnderKills", "TestFaultStrictOrderWaitsBehindADeadLetter"}, []string{"TestFaultControlNeighboursBeforeDeadLetterLoseIt"}},
	{"the past is run again, under kills and load; rows that were lost come back", []string{"replay/shadow", "replay/live"},
		[]string{"TestFaultShadowReplayUnderKillsAndLoad", "TestFaultLiveReplayRestoresWhatWasLost"}, []string{"TestFaultReplayThroughAnotherPlanShowsEveryDifference"}},
	{"the pipeline's file is applied again under load, without the database, and by an engine that is killed then",
		[]string{"reloads_under_load", "reload_without_database", "killed_in_a_reload", "reload_of_two_engines"},
		[]string{"TestFaultReloadsUnderLoad", "TestFaultReloadWaitsForDatabase", "TestFaultKilledInAReload", "TestFaultReloadOfTwoEngines"}, []string{"TestFaultControlRestartHandsNoPlacesOn"}},
	{"a plugin changes its version, again and again, under load", []string{"upgrade_under_load"}, []string{"TestFaultUpgradeUnderLoad"},
		[]string{"TestFaultControlUpgradeByKill"}},
	{"a viewer looks on while the engine is killed; lost and doubled are points of its charts", []string{"page_survives_kill"},
		[]string{"TestFaultPageSurvivesKill"}, []string{"TestFaultControlViewerWithoutIDDoubles"}},
	{"pipelines of other shapes, killed on the way", []string{"two_pipelines", "two_input_streams", "foreign_stream"},
		[]string{"TestFaultTwoPipelinesWithEqualNames", "TestFaultSinkWithTwoInputStreams", "TestFaultForeignStream"}, []string{"TestOracleNoticesLossDoublingAndDisorder"}},
	{"every boundary fails in every way, in thousands of lives of the whole path in one process", []string{"simulation"}, []string{"TestFaultSimulation"},
		[]string{"TestFaultSimulationControls"}},
	{"all of it by chance, under a steady load", []string{"soak"}, []string{"TestFaultSoak"}, []string{"TestOracleNoticesLossDoublingAndDisorder"}},
}

// refusals are tests whose outcome is all there is to show.
var refusals = []struct{ what, test string }{
	{"a crash between the append and the acknowledgement loses and doubles nothing", "TestFaultCrashBetweenAppendAndAck"},
	{"a crash before a stage's commit loses and doubles nothing", "TestFaultCrashBeforeCommit"},
	{"a crash between a dead letter and its neighbours loses neither", "TestFaultCrashBetweenDeadLetterAndNeighbours"},
	{"a crash between `COMMIT` and the position in Redis doubles nothing", "TestFaultCrashBetweenSQLAndRedisPosition"},
	{"a Redis that syncs each second is refused under `durability: strict`", "TestFaultEverysecIsRefusedUnderStrict"},
	{"it is refused, too, when it is set so later", "TestFaultEverysecSetLaterStopsTheEngine"},
	{"a real broker with an embedded log is a mistake, and said to be one", "TestFaultRealBrokerWithEmbeddedLogIsRefused"},
	{"a Redis that was emptied stops the engine until the loss is accepted", "TestFaultRedisFlushedUnderLoad"},
	{"half a transaction that a killed Redis has left in its file does not come back", "TestFaultTornTransactionIsGone"},
	{"a Redis that may not be told to write its file anew brings it back: the engine notices and stops", "TestFaultControlTornTransactionComesBack"},
	{"every listed boundary of the path, before, after, with an error and with a timeout: the same result", "TestFaultCrashPointExhaustive"},
	{"nothing that a reader has not passed is trimmed, whatever it, commits and retention do", "TestFaultTrimNeverPassesAReader"},
	{"a foreign XTRIM is noticed", "TestFaultForeignTrimStopsTheEngine"},
	{"a message of 100 MiB and fourteen other kinds of bad input: a dead letter each, neighbours unharmed", "TestFaultBadInput"},
	{"a paused replay keeps the journal from being trimmed", "TestFaultPausedReplayPinsItsStretch"},
	{"a second engine of one id is refused", "TestFaultSecondEngineOfOneIDIsRefused"},
	{"equal ids from two plants are two messages", "TestFaultEqualIDsOfTwoPlants"},
}
