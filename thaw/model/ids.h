// SPDX-License-Identifier: Apache-2.0
//
// The names of things. Each noun has its own id type; the text form is that of the clouds'
// clients (prefix, dash, random letters), which some of them check.
#pragma once

#include "thaw/base/id.h"

namespace thaw::model {

using WorkspaceId = StrongId<struct WorkspaceTag>;
using EnvironmentId = StrongId<struct EnvironmentTag>;
using TokenId = StrongId<struct TokenTag>;
using AppId = StrongId<struct AppTag>;
using FunctionId = StrongId<struct FunctionTag>;
using AliasId = StrongId<struct AliasTag>;
using ScheduleId = StrongId<struct ScheduleTag>;
using ClassId = StrongId<struct ClassTag>;
using AppVersionId = StrongId<struct AppVersionTag>;
using ImageId = StrongId<struct ImageTag>;
using ImageNameId = StrongId<struct ImageNameTag>;
using MountId = StrongId<struct MountTag>;
using SecretId = StrongId<struct SecretTag>;
using VolumeId = StrongId<struct VolumeTag>;
using DictId = StrongId<struct DictTag>;
using ItemQueueId = StrongId<struct ItemQueueTag>;
using ContainerId = StrongId<struct ContainerTag>;
using BoxId = StrongId<struct BoxTag>;
using CallId = StrongId<struct CallTag>;
using InputId = StrongId<struct InputTag>;

}  // namespace thaw::model
