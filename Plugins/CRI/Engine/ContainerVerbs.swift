internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension LocalPodEngine {
    private func running(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerRow {
        let row = try await findContainer(id, in: namespace)
        guard row.status.phase == .running, !row.status.silent else {
            throw BerthError(.failedPrecondition, "container '\(row.id)' is \(row.state.rawValue), not running")
        }
        return row
    }

    // MARK: exec

    func execSync(
        _ id: ContainerID, in namespace: NamespaceID, _ request: ExecRequest, timeout: Duration?
    ) async throws -> ExecResult {
        guard let command = request.command.first, !command.isEmpty else {
            throw BerthError(.invalidArgument, "exec in container '\(id)': the command is empty")
        }
        guard request.command.allSatisfy({ !$0.utf8.contains(0) }) else {
            throw BerthError(.invalidArgument, "exec in container '\(id)': an argument has a NUL byte")
        }
        let row = try await running(id, in: namespace)
        let process = try await process(request, of: row)
        let limit = timeout.flatMap { $0 > .zero ? $0 : nil }
        return try await during("exec '\(command)' in container '\(row.id)'") {
            try await services.tasks.execSync(
                row.ref, process: OCIJSON.encode(process), timeout: limit, limit: config.execOutputLimit)
        }
    }

    /// The container's process with another command: its user, capabilities, environment and limits stay.
    private func process(_ request: ExecRequest, of row: ContainerRow) async throws -> OCIProcess {
        var process: OCIProcess
        if let known = processes.process(of: row.id) {
            process = known
        } else {
            let spec = try OCISpec(json: await rows.spec(of: row))
            guard let own = spec.process else {
                throw BerthError(.dataLoss, "container '\(row.id)': its spec has no process")
            }
            process = own
            process.terminal = nil
            processes.keep(process, of: row.id)
        }
        process.args = request.command
        if !request.workingDirectory.isEmpty { process.cwd = request.workingDirectory }
        for variable in request.environment {
            let prefix = variable.name + "="
            process.env = (process.env ?? []).filter { !$0.hasPrefix(prefix) } + [prefix + variable.value]
        }
        if !request.user.isEmpty {
            let user = try await user(request.user, of: row)
            process.user = OCIUser(uid: user.uid, gid: user.gid, additionalGids: user.groups)
        }
        return process
    }

    /// Names are looked up in the running container's root, by descriptor, in-root, bounded.
    private func user(_ text: String, of row: ContainerRow) async throws -> ResolvedUser {
        let request = try AccountRequest(text)
        let root = "/proc/\(row.status.pid)/root"
        return try await Blocking.run(on: Blocking.foreign, "look up user '\(text)'", deadline: HostPaths.patience) {
            let tree = try attempting("open the root of container '\(row.id)'") { () throws(Errno) in
                try Files.open(root, Files.pathOnly | O_DIRECTORY)
            }
            return try RootfsView.accounts(below: tree.rawValue).resolve(
                request, supplemental: row.spec.security.supplementalGroups, strict: row.spec.security.strictGroups)
        }
    }

    // MARK: resources, log, metrics

    func updateContainer(_ id: ContainerID, in namespace: NamespaceID, resources: ResourceLimits) async throws {
        try ResourceCheck.check(resources, facts)
        let row = try await findContainer(id, in: namespace)
        let merged = (row.status.resources ?? row.spec.resources).merging(resources)
        try ResourceCheck.check(merged, facts)
        try await during("update container '\(row.id)'") {
            try await lanes.run("container/\(row.id)") {
                guard let now = table.container(row.id) else { throw PodTable.missing(row.id) }
                switch now.status.phase {
                case .created: try await updateSpec(now, merged)
                case .running:
                    try await services.tasks.update(now.ref, resources: OCIJSON.encode(limited(resources)))
                case .starting, .exited, .removing:
                    throw BerthError(.failedPrecondition, "it is \(now.state.rawValue)")
                }
                try await commit(row.id) { $0.status.resources = merged }
            }
        }
    }

    /// The limits that this host can set; the others were checked to limit nothing.
    private func limited(_ limits: ResourceLimits) -> OCIResources {
        var resources = OCIResources(limits: limits)
        if !facts.hugetlb { resources.hugepageLimits = nil }
        return resources
    }

    private func updateSpec(_ row: ContainerRow, _ limits: ResourceLimits) async throws {
        var spec = try OCISpec(json: await rows.spec(of: row))
        var resources = limited(limits)
        resources.devices = spec.linux?.resources?.devices
        spec.linux?.resources = resources
        spec.process?.oomScoreAdj = Int(limits.oomScoreAdj)
        _ = pendingSpecs.take(row.id)
        try await rows.setSpec(try spec.json(), of: row)
    }

    func reopenLog(_ id: ContainerID, in namespace: NamespaceID) async throws {
        let row = try await running(id, in: namespace)
        guard !row.origin.logPath.isEmpty else { return }
        try await services.tasks.reopenLog(row.ref)
    }

    func containerMetrics(_ id: ContainerID, in namespace: NamespaceID) async throws -> AnyMessage {
        let row = try await running(id, in: namespace)
        return try await services.tasks.stats(row.ref)
    }

    func podMetrics(_ id: PodID, in namespace: NamespaceID) async throws -> AnyMessage {
        let row = try await findPod(id, in: namespace)
        guard row.status.phase == .ready else {
            throw BerthError(.failedPrecondition, "pod '\(row.id)' is not ready")
        }
        return try await controller(row).metrics(row.id, in: namespace)
    }
}

extension ResourceLimits {
    /// These limits with those of `other` that are set.
    func merging(_ other: ResourceLimits) -> ResourceLimits {
        var all = self
        if other.cpuPeriod != 0 { all.cpuPeriod = other.cpuPeriod }
        if other.cpuQuota != 0 { all.cpuQuota = other.cpuQuota }
        if other.cpuShares != 0 { all.cpuShares = other.cpuShares }
        if other.memoryLimit != 0 { all.memoryLimit = other.memoryLimit }
        if other.memorySwapLimit != 0 { all.memorySwapLimit = other.memorySwapLimit }
        if other.oomScoreAdj != 0 { all.oomScoreAdj = other.oomScoreAdj }
        if !other.cpusetCPUs.isEmpty { all.cpusetCPUs = other.cpusetCPUs }
        if !other.cpusetMems.isEmpty { all.cpusetMems = other.cpusetMems }
        all.hugepages.merge(other.hugepages) { $1 }
        all.unified.merge(other.unified) { $1 }
        return all
    }
}
