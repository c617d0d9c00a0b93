# How large things are, how often they run, and what they may take. costs.py turns the same numbers into money.

variable "min_instances" {
  description = "Instances that are always there. With 0, also set uptime_check = false, or the check keeps one awake."
  type        = number
  default     = 1

  validation {
    condition     = var.min_instances >= 0 && floor(var.min_instances) == var.min_instances
    error_message = "Give a whole number, 0 or more."
  }
}

variable "max_instances" {
  description = "Most instances at once, of a revision. Each holds up to 16 connections to the database: see its tier."
  type        = number
  default     = 2

  validation {
    condition     = var.max_instances >= 1 && floor(var.max_instances) == var.max_instances
    error_message = "Give a whole number, 1 or more."
  }
}

variable "cpu" {
  description = "vCPUs of an instance of the service."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Memory of an instance of the service."
  type        = string
  default     = "1Gi"
}

variable "train_cpu" {
  description = "vCPUs of the training job; an L4 wants at least 4."
  type        = string
  default     = "4"
}

variable "train_memory" {
  description = "Memory of the training job; an L4 wants at least 16Gi."
  type        = string
  default     = "16Gi"
}

variable "train_timeout_s" {
  description = "After this a training run is ended, and its GPU with it."
  type        = number
  default     = 3600

  validation {
    condition     = var.train_timeout_s > 0 && var.train_timeout_s <= 3600
    error_message = "A task with a GPU may run for an hour at most."
  }
}

variable "forecast_schedule" {
  description = "When the service is woken, in cron's words and UTC. At most 15 minutes apart, an instance stays awake."
  type        = string
  default     = "*/15 * * * *"
}

variable "train_schedule" {
  description = "When models are trained anew, in cron's words and UTC."
  type        = string
  default     = "0 2 * * 1"
}

variable "database_tier" {
  description = "Machine of the database. db-f1-micro, the smallest, takes 25 connections: then max_instances = 1."
  type        = string
  default     = "db-g1-small"
}

variable "database_availability" {
  description = "ZONAL, or REGIONAL for a second machine that takes over."
  type        = string
  default     = "ZONAL"

  validation {
    condition     = contains(["ZONAL", "REGIONAL"], var.database_availability)
    error_message = "ZONAL or REGIONAL."
  }
}

variable "database_disk_gb" {
  description = "Disk that the database starts with; it grows by itself."
  type        = number
  default     = 10
}

variable "uptime_check" {
  description = "Ask /health every five minutes from three continents."
  type        = bool
  default     = true
}

variable "old_versions_days" {
  description = "How long overwritten and deleted objects of the buckets are kept."
  type        = number
  default     = 90
}
