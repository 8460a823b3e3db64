# WIN1 (rabbit@WIN1) joins the cluster of rabbit@linux.
# JOINING WIPES THIS NODE: its queues, users and policies go. The script stops
# where queues hold messages and exports the definitions first. It may be run again.
# Run in PowerShell as administrator on WIN1:   .\2-join.ps1
param([string]$BackupDir = "$env:USERPROFILE")
$ErrorActionPreference = "Stop"

$sbin = Get-ChildItem "$env:ProgramFiles\RabbitMQ Server" -Directory -Filter "rabbitmq_server-*" |
    Sort-Object { [version]($_.Name -replace "^rabbitmq_server-", "") } | Select-Object -Last 1 |
    ForEach-Object { Join-Path $_.FullName "sbin" }
if (-not $sbin) { throw "RabbitMQ is not installed in $env:ProgramFiles\RabbitMQ Server" }

function Invoke-Ctl {
    $out = & "$sbin\rabbitmqctl.bat" @args
    if ($LASTEXITCODE -ne 0) { throw "rabbitmqctl $args ended with $LASTEXITCODE" }
    $out
}

$status = (Invoke-Ctl --quiet cluster_status --formatter json) -join "" | ConvertFrom-Json
$nodes = @($status.disk_nodes) + @($status.ram_nodes)
if ($nodes -ccontains "rabbit@linux") {
    Write-Output "WIN1 is in the cluster of rabbit@linux already"
    exit 0
}
if ($nodes.Count -ne 1) { throw "WIN1 is in another cluster: $nodes" }

foreach ($vhost in @(Invoke-Ctl --quiet list_vhosts name --no-table-headers)) {
    $held = 0
    foreach ($count in @(Invoke-Ctl --quiet list_queues --vhost $vhost messages --no-table-headers)) { $held += [int64]$count }
    if ($held -ne 0) { throw "virtual host $vhost holds $held messages, which a join throws away: let them be consumed first" }
}

$file = Join-Path $BackupDir ("rabbitmq-WIN1-{0:yyyyMMddTHHmmss}.json" -f (Get-Date))
Invoke-Ctl export_definitions $file
Write-Output "definitions are in $file"

Invoke-Ctl stop_app
Invoke-Ctl reset
Invoke-Ctl join_cluster "rabbit@linux"
Invoke-Ctl start_app
Invoke-Ctl cluster_status
