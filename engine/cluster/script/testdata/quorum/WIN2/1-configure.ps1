# WIN2 (rabbit@WIN2): the Erlang cookie, rabbitmq.conf and the plugins.
# Run in PowerShell as administrator on WIN2:
#   .\1-configure.ps1 -CookieFile C:\path\to\copy\of\.erlang.cookie
# The cookie file is a copy of the Linux node's. Without it this node keeps its own.
# The script may be run again.
param([string]$CookieFile = "")
$ErrorActionPreference = "Stop"

# Windows calls the computer by its NetBIOS name, in capitals; so does RabbitMQ.
if ($env:COMPUTERNAME -cne "WIN2") {
    throw "this computer is $env:COMPUTERNAME, the cluster file says WIN2"
}

$hosts = "$env:SystemRoot\System32\drivers\etc\hosts"
if (-not (Resolve-DnsName -Name "WIN1" -ErrorAction SilentlyContinue)) {
    Add-Content -Path $hosts -Value "192.0.2.11 WIN1"
}
if (-not (Resolve-DnsName -Name "WIN2" -ErrorAction SilentlyContinue)) {
    Add-Content -Path $hosts -Value "192.0.2.12 WIN2"
}
if (-not (Resolve-DnsName -Name "WIN3" -ErrorAction SilentlyContinue)) {
    Add-Content -Path $hosts -Value "192.0.2.13 WIN3"
}
if (-not (Resolve-DnsName -Name "WIN4" -ErrorAction SilentlyContinue)) {
    Add-Content -Path $hosts -Value "192.0.2.14 WIN4"
}
if (-not (Resolve-DnsName -Name "linux" -ErrorAction SilentlyContinue)) {
    Add-Content -Path $hosts -Value "192.0.2.10 linux"
}

$service = Get-ItemProperty "HKLM:\SOFTWARE\Ericsson\Erlang\ErlSrv\*\RabbitMQ" -ErrorAction SilentlyContinue
$sbin = Get-ChildItem "$env:ProgramFiles\RabbitMQ Server" -Directory -Filter "rabbitmq_server-*" |
    Sort-Object { [version]($_.Name -replace "^rabbitmq_server-", "") } | Select-Object -Last 1 |
    ForEach-Object { Join-Path $_.FullName "sbin" }
if (-not $sbin) { throw "RabbitMQ is not installed in $env:ProgramFiles\RabbitMQ Server" }

# The service runs as LocalSystem and reads the cookie of the system profile;
# rabbitmqctl runs as you and reads yours. Both must be the same.
$cookies = @("$env:SystemRoot\System32\config\systemprofile\.erlang.cookie", "$env:USERPROFILE\.erlang.cookie")
& "$sbin\rabbitmq-service.bat" stop
if ($CookieFile -ne "") {
    $cookie = (Get-Content -Path $CookieFile -Raw).Trim()
    foreach ($file in $cookies) {
        if (Test-Path $file) { Set-ItemProperty -Path $file -Name IsReadOnly -Value $false }
        [System.IO.File]::WriteAllText($file, $cookie, [System.Text.Encoding]::ASCII)
        Set-ItemProperty -Path $file -Name IsReadOnly -Value $true
    }
}
$md5 = [System.Security.Cryptography.MD5]::Create()
foreach ($file in $cookies) {
    if (-not (Test-Path $file)) { continue }
    $text = [System.Text.Encoding]::ASCII.GetBytes((Get-Content -Path $file -Raw).Trim())
    Write-Output ("cookie hash of {0}: {1}" -f $file, [System.Convert]::ToBase64String($md5.ComputeHash($text)))
}

$base = $env:RABBITMQ_BASE
if (-not $base) { $base = "$env:APPDATA\RabbitMQ" }
New-Item -ItemType Directory -Force -Path $base | Out-Null
$conf = Join-Path $base "rabbitmq.conf"
if ((Test-Path $conf) -and -not (Test-Path "$conf.before")) { Copy-Item -Path $conf -Destination "$conf.before" }
$text = @'
cluster_name = plants
listeners.tcp.default = 5672
management.tcp.port = 15672
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = rabbit@WIN1
cluster_formation.classic_config.nodes.2 = rabbit@WIN2
cluster_formation.classic_config.nodes.3 = rabbit@WIN3
cluster_formation.classic_config.nodes.4 = rabbit@WIN4
cluster_formation.classic_config.nodes.5 = rabbit@linux
'@
[System.IO.File]::WriteAllText($conf, $text.Replace("`r`n", "`n"), [System.Text.Encoding]::ASCII)
[System.IO.File]::WriteAllText((Join-Path $base "enabled_plugins"), "[rabbitmq_management,rabbitmq_mqtt].`n", [System.Text.Encoding]::ASCII)

foreach ($port in @(4369, 25672, 5672, 15672)) {
    $rule = "RabbitMQ $port"
    if (-not (Get-NetFirewallRule -DisplayName $rule -ErrorAction SilentlyContinue)) {
        New-NetFirewallRule -DisplayName $rule -Direction Inbound -Protocol TCP -LocalPort $port -Action Allow | Out-Null
    }
}

# The service keeps the folders and settings of its installation: install it anew.
if ($service) { & "$sbin\rabbitmq-service.bat" remove }
& "$sbin\rabbitmq-service.bat" install
& "$sbin\rabbitmq-service.bat" start
& "$sbin\rabbitmqctl.bat" await_startup --timeout 120
if ($LASTEXITCODE -ne 0) { throw "RabbitMQ did not start: look into $base\log" }
& "$sbin\rabbitmq-diagnostics.bat" erlang_cookie_hash
Write-Output "WIN2 is configured"
