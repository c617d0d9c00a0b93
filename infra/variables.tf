# What has no default must be given; terraform.tfvars.example lists it. The size of things is in sizes.tf.

variable "project" {
  description = "Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Give the project's id (small letters, digits, hyphens), not its name or number."
  }
}

variable "region" {
  description = "Region of everything. The training job wants one with L4 GPUs."
  type        = string
  default     = "europe-west4"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Give a region such as europe-west4, not a zone."
  }
}

variable "github_repository" {
  description = "owner/name of the one repository whose workflows may act here."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "Give owner/name, as in the repository's address."
  }
}

variable "github_repository_id" {
  description = "Its number (`gh api repos/OWNER/NAME --jq .id`): a name can be given up and taken by another."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+$", var.github_repository_id))
    error_message = "Give the repository's number: gh api repos/OWNER/NAME --jq .id"
  }
}

variable "github_branch" {
  description = "The one branch whose workflows may act here."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.github_branch))
    error_message = "Give one branch's name, without refs/heads/ and without a pattern."
  }
}

variable "github_workflows" {
  description = "Files below .github/workflows that may act as each account."
  type = object({
    deploy  = set(string)
    publish = set(string)
    train   = set(string)
  })
  default = {
    deploy  = ["deploy.yml"]
    publish = ["images.yml"]
    train   = ["train.yml"]
  }
}

variable "farms" {
  description = "Farms whose champions the service forecasts with; each must have one in the models bucket."
  type        = list(string)

  validation {
    condition     = length(var.farms) > 0 && alltrue([for farm in var.farms : can(regex("^[a-z0-9_.-]+$", farm))])
    error_message = "Give at least one farm, named as its folder in the registry: small letters, digits, '_', '-', '.'."
  }
}

variable "serve_image" {
  description = "Image that the service is first made with; afterwards the deployment workflow owns it."
  type        = string

  validation {
    condition     = !endswith(var.serve_image, ":latest") && can(regex("[:@]", var.serve_image))
    error_message = "Name a version or a digest, not a tag that moves."
  }
}

variable "train_image" {
  description = "Image of the training job."
  type        = string

  validation {
    condition     = !endswith(var.train_image, ":latest") && can(regex("[:@]", var.train_image))
    error_message = "Name a version or a digest, not a tag that moves."
  }
}

variable "public" {
  description = "Let anyone reach the service, who then needs an API key; false: an identity of Google's as well."
  type        = bool
  default     = false
}

variable "invokers" {
  description = "Who may reach the service while it is not public: user:…, group:…, serviceAccount:…"
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for one in var.invokers : can(regex("^(user|group|serviceAccount):[^@]+@[^@]+$", one))])
    error_message = "Name users, groups or service accounts. To let anyone in, set public = true."
  }
}

variable "ingress" {
  description = "From where the service is reached at all. The uptime check comes from the internet."
  type        = string
  default     = "INGRESS_TRAFFIC_ALL"

  validation {
    condition = contains(
      ["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.ingress
    )
    error_message = "One of INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY, INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
}

variable "deletion_protection" {
  description = "Keep database, service, job and secrets from being deleted. false only to tear down."
  type        = bool
  default     = true
}

variable "alert_email" {
  description = "Who is told of alerts and of the budget."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+$", var.alert_email))
    error_message = "Give one e-mail address."
  }
}

variable "billing_account" {
  description = "Billing account of the project, XXXXXX-XXXXXX-XXXXXX."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "Give it as XXXXXX-XXXXXX-XXXXXX: gcloud billing accounts list"
  }
}

variable "budget" {
  description = "A month's budget, whole units of the billing account's currency. A budget tells; it stops nothing."
  type        = number
  default     = 150

  validation {
    condition     = var.budget >= 1 && floor(var.budget) == var.budget
    error_message = "Give a whole number, 1 or more."
  }
}
