"""Texts about the ``kubernetes`` engine. Key, (English, Chinese); see :mod:`sanjin.model.catalogue`."""

from __future__ import annotations

KUBERNETES: dict[str, tuple[str, str]] = {
    "doctor.kubernetes": ("Kubernetes", "Kubernetes"),
    "doctor.kubernetes_met": (
        "met: a real API server and Job controller (1.20.2), the kubelet played by tests; "
        "met as a stand-in alone: Indexed Jobs, suspended Jobs; not met: a real kubelet, Kueue, cards",
        "已对接:真实 API 服务器与 Job 控制器(1.20.2),kubelet 由测试扮演;仅对接替身:Indexed Job、挂起的 Job;"
        "未对接:真实 kubelet、Kueue、加速卡",
    ),
    "doctor.todo_kubernetes": (
        "where a site is to run work in Kubernetes: pip install 'sanjin[kubernetes]'",
        "如站点需在 Kubernetes 中运行作业:pip install 'sanjin[kubernetes]'",
    ),
    "cli.engines_kubernetes": (
        "Kubernetes has met no real kubelet yet ({sites}); what it has met: sanjin doctor",
        "Kubernetes 引擎尚未对接真实 kubelet({sites});已对接的范围见 sanjin doctor",
    ),
}
KUBERNETES_PROBLEMS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "no_lightkube": (
        ("the client of Kubernetes is not installed here", "此处未安装 Kubernetes 客户端"),
        ("run: pip install 'sanjin[kubernetes]'", "请运行 pip install 'sanjin[kubernetes]'"),
    ),
    "kubeconfig_unreadable": (
        ("the way to the cluster cannot be read from {value}: {fault}", "无法从 {value} 读取集群连接:{fault}"),
        (
            "put a kubeconfig there that kubectl takes, and name its context: sanjin engines show",
            "请放置 kubectl 可用的 kubeconfig 并指明 context:sanjin engines show",
        ),
    ),
    "not_in_a_cluster": (
        ("this node is in no pod of a cluster: {fault}", "本节点不在集群的 Pod 中:{fault}"),
        ("name a kubeconfig in the document of engines: sanjin engines set", "请在引擎文档中给出 kubeconfig:sanjin engines set"),
    ),
    "cluster_in_the_open": (
        ("what is said to {value} could be read or changed on the way", "与 {value} 的通信可能被窃听或篡改"),
        (
            "use https:// with the cluster's certificate authority; http:// and unverified TLS are for this machine alone",
            "请使用 https:// 并给出集群证书颁发机构;http:// 与不验证的 TLS 仅限本机",
        ),
    ),
}
