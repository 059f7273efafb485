//! The request codes that are served here, and nothing else.

use signpost_remoting::request;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    PutKv,
    GetKv,
    DeleteKv,
    RegisterBroker,
    UnregisterBroker,
    Route,
    ClusterInfo,
    WipeWritePermission,
    AllTopics,
    DeleteTopic,
    PutTopic,
    KvNamespace,
    TopicsOfCluster,
    SystemTopics,
    UnitTopics,
    UnitSubscriptionTopics,
    UnitSubscriptionOnlyTopics,
    UpdateConfig,
    GetConfig,
    QueryDataVersion,
    RestoreWritePermission,
    MemberGroup,
    Heartbeat,
}

impl Call {
    /// The call of this request code; None when no name server serves it.
    pub(super) fn of(code: i32) -> Option<Self> {
        Some(match code {
            request::PUT_KV_CONFIG => Self::PutKv,
            request::GET_KV_CONFIG => Self::GetKv,
            request::DELETE_KV_CONFIG => Self::DeleteKv,
            request::REGISTER_BROKER => Self::RegisterBroker,
            request::UNREGISTER_BROKER => Self::UnregisterBroker,
            request::GET_ROUTEINFO_BY_TOPIC => Self::Route,
            request::GET_BROKER_CLUSTER_INFO => Self::ClusterInfo,
            request::WIPE_WRITE_PERM_OF_BROKER => Self::WipeWritePermission,
            request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => Self::AllTopics,
            request::DELETE_TOPIC_IN_NAMESRV => Self::DeleteTopic,
            request::REGISTER_TOPIC_IN_NAMESRV => Self::PutTopic,
            request::GET_KVLIST_BY_NAMESPACE => Self::KvNamespace,
            request::GET_TOPICS_BY_CLUSTER => Self::TopicsOfCluster,
            request::GET_SYSTEM_TOPIC_LIST_FROM_NS => Self::SystemTopics,
            request::GET_UNIT_TOPIC_LIST => Self::UnitTopics,
            request::GET_HAS_UNIT_SUB_TOPIC_LIST => Self::UnitSubscriptionTopics,
            request::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => Self::UnitSubscriptionOnlyTopics,
            request::UPDATE_NAMESRV_CONFIG => Self::UpdateConfig,
            request::GET_NAMESRV_CONFIG => Self::GetConfig,
            request::QUERY_DATA_VERSION => Self::QueryDataVersion,
            request::ADD_WRITE_PERM_OF_BROKER => Self::RestoreWritePermission,
            request::GET_BROKER_MEMBER_GROUP => Self::MemberGroup,
            request::BROKER_HEARTBEAT => Self::Heartbeat,
            _ => return None,
        })
    }
}
