internal import BerthAPI
internal import BerthBase
internal import BerthServices

extension PodSpec {
    var metadataMessage: Runtime_V1_PodSandboxMetadata {
        var metadata = Runtime_V1_PodSandboxMetadata()
        (metadata.name, metadata.uid, metadata.namespace, metadata.attempt) = (name, uid, group, attempt)
        return metadata
    }
}

extension PodInfo {
    var stateMessage: Runtime_V1_PodSandboxState { state == .ready ? .sandboxReady : .sandboxNotready }

    var listItem: Runtime_V1_PodSandbox {
        var item = Runtime_V1_PodSandbox()
        item.id = id.rawValue
        item.metadata = spec.metadataMessage
        item.state = stateMessage
        item.createdAt = createdAt.nanoseconds
        item.labels = spec.labels
        item.annotations = spec.annotations
        item.runtimeHandler = spec.runtimeHandler
        return item
    }

    var statusMessage: Runtime_V1_PodSandboxStatus {
        var status = Runtime_V1_PodSandboxStatus()
        status.id = id.rawValue
        status.metadata = spec.metadataMessage
        status.state = stateMessage
        status.createdAt = createdAt.nanoseconds
        var network = Runtime_V1_PodSandboxNetworkStatus()
        network.ip = addresses.first ?? ""
        network.additionalIps = addresses.dropFirst().map { address in
            var ip = Runtime_V1_PodIP()
            ip.ip = address
            return ip
        }
        status.network = network
        status.linux.namespaces.options = spec.namespaces.message
        status.labels = spec.labels
        status.annotations = spec.annotations
        status.runtimeHandler = spec.runtimeHandler
        return status
    }

    func matches(_ filter: Runtime_V1_PodSandboxFilter) -> Bool {
        if !filter.id.isEmpty, !id.rawValue.hasPrefix(filter.id) { return false }
        if filter.hasState, filter.state.state != stateMessage { return false }
        return filter.labelSelector.allSatisfy { spec.labels[$0.key] == $0.value }
    }
}

extension ContainerInfo {
    var stateMessage: Runtime_V1_ContainerState {
        switch state {
        case .created: .containerCreated
        case .running: .containerRunning
        case .exited: .containerExited
        case .unknown: .containerUnknown
        }
    }

    private var metadataMessage: Runtime_V1_ContainerMetadata {
        var metadata = Runtime_V1_ContainerMetadata()
        (metadata.name, metadata.attempt) = (spec.name, spec.attempt)
        return metadata
    }

    private var imageMessage: Runtime_V1_ImageSpec {
        var image = Runtime_V1_ImageSpec()
        image.image = imageName
        image.userSpecifiedImage = spec.userImage
        image.annotations = spec.imageAnnotations
        return image
    }

    var listItem: Runtime_V1_Container {
        var item = Runtime_V1_Container()
        item.id = id.rawValue
        item.podSandboxID = pod.rawValue
        item.metadata = metadataMessage
        item.image = imageMessage
        item.imageRef = imageRef
        item.imageID = imageID
        item.state = stateMessage
        item.createdAt = createdAt.nanoseconds
        item.labels = spec.labels
        item.annotations = spec.annotations
        return item
    }

    var statusMessage: Runtime_V1_ContainerStatus {
        var status = Runtime_V1_ContainerStatus()
        status.id = id.rawValue
        status.metadata = metadataMessage
        status.state = stateMessage
        status.createdAt = createdAt.nanoseconds
        status.startedAt = startedAt?.nanoseconds ?? 0
        status.finishedAt = finishedAt?.nanoseconds ?? 0
        status.exitCode = exitCode
        status.image = imageMessage
        status.imageRef = imageRef
        status.imageID = imageID
        (status.reason, status.message) = (reason, message)
        status.labels = spec.labels
        status.annotations = spec.annotations
        status.mounts = spec.mounts.map(\.message)
        status.logPath = logPath
        status.resources.linux = spec.resources.message
        status.user.linux.uid = Int64(uid)
        status.user.linux.gid = Int64(gid)
        status.user.linux.supplementalGroups = groups.map(Int64.init)
        status.stopSignal = SignalTranslation.signal(stopSignal)
        return status
    }

    func matches(_ filter: Runtime_V1_ContainerFilter) -> Bool {
        if !filter.id.isEmpty, !id.rawValue.hasPrefix(filter.id) { return false }
        if filter.hasState, filter.state.state != stateMessage { return false }
        if !filter.podSandboxID.isEmpty, !pod.rawValue.hasPrefix(filter.podSandboxID) { return false }
        return filter.labelSelector.allSatisfy { spec.labels[$0.key] == $0.value }
    }
}

extension ImageInfo {
    /// The image as CRI shows it. The ID is the config's digest, everywhere.
    func message(reference: String = "") -> Runtime_V1_Image {
        var image = Runtime_V1_Image()
        image.id = id.description
        let tags = names.filter { !$0.contains("@") && !$0.hasPrefix("sha256:") }
        image.repoTags = tags
        var digests = names.filter { $0.contains("@") }
        // A tag says which repository the target's digest is of.
        for tag in tags {
            let digest = "\(Self.repository(of: tag))@\(target.digest)"
            if !digests.contains(digest) { digests.append(digest) }
        }
        image.repoDigests = digests
        image.size = UInt64(max(size, 0))
        image.spec.image = reference
        image.pinned = labels["io.cri-containerd.pinned"] == "pinned"
        let config = (try? ImageConfig(json: self.config)) ?? ImageConfig()
        if let user = try? AccountRequest(config.user).user {
            switch user {
            case .number(let uid): image.uid.value = Int64(uid)
            case .name(let name): image.username = name
            }
        }
        return image
    }

    private static func repository(of tag: String) -> String {
        let slash = tag.lastIndex(of: "/") ?? tag.startIndex
        guard let colon = tag[slash...].lastIndex(of: ":") else { return tag }
        return String(tag[..<colon])
    }
}
